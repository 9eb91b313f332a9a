"""The errors of the load step.

Belongs here: `LoadError` and its kinds. Does not belong here: the messages, which stand where
they are raised.
"""

from pollux.runtime.errors import PolluxError


class LoadError(PolluxError):
    """A load that changed nothing in the landing zone; the text says why and what to do."""

    exit_code = 6


class LandingError(LoadError):
    """The landing zone is held or cannot be written: no fault of the files, it may pass."""
