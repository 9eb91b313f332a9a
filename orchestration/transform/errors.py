"""The errors of a build; each message says what to do."""

from pollux.runtime.errors import PolluxError


class BuildError(PolluxError):
    """A build could not be run."""

    exit_code = 4


class BuildFailedError(BuildError):
    """Models or tests failed; the message names them, and the rows that made a test fail."""
