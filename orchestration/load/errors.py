"""The errors of the load step."""

import errno

from pollux.runtime.errors import PolluxError

# These are never the fault of the file being read.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class LoadError(PolluxError):
    """A load that changed nothing in the landing zone; the text says why and what to do."""

    exit_code = 6


class LandingError(LoadError):
    """The landing zone is locked or cannot be written: not the files' fault, and it may pass."""


class ChangedError(LoadError):
    """A file changed while it was read: it may be complete next time."""
