"""What a training can fail with."""

from pollux.runtime.errors import PolluxError


class LearnError(PolluxError):
    """Nothing could be learned; the model of before stays."""
