"""The errors of a training."""

from pollux.runtime.errors import PolluxError


class LearnError(PolluxError):
    """No model could be trained; the earlier one stays in use."""
