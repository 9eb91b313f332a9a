"""What can go wrong in a release, each with a message that says what to do."""

from pollux.runtime.errors import PolluxError


class ReleaseError(PolluxError):
    """A release could not be made or switched; what was served before is still served."""

    exit_code = 5
