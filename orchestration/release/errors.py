"""What can go wrong in a release, each with a message that says what to do."""

from pollux.runtime.errors import PolluxError


class ReleaseError(PolluxError):
    """A release could not be made or switched; what was served before is still served."""

    exit_code = 5


class ShrinkingError(ReleaseError):
    """A release would take away most of what is served, and nobody said that it may."""
