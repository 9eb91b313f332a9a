"""The errors of a release; each message says what to do."""

from pollux.runtime.errors import PolluxError


class ReleaseError(PolluxError):
    """A release could not be made or switched; the earlier one is still served."""

    exit_code = 5


class ShrinkingError(ReleaseError):
    """A release would remove most of the rows served, and `accept_shrinking` is not set."""
