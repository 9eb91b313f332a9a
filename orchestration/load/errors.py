"""The errors of the load step.

Belongs here: `LoadError` and its kinds. Does not belong here: the messages, which stand where
they are raised.
"""

import errno

from pollux.runtime.errors import PolluxError

# No fault of the file that is being read, whatever was being done with it.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class LoadError(PolluxError):
    """A load that changed nothing in the landing zone; the text says why and what to do."""

    exit_code = 6


class LandingError(LoadError):
    """The landing zone is held or cannot be written: no fault of the files, it may pass."""


class ChangedError(LoadError):
    """A file changed while it was read: it may be complete the next time."""
