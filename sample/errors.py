"""What can go wrong when samples are made."""

from pollux.runtime.errors import PolluxError


class SampleError(PolluxError):
    """A sample cannot be made as asked for, or cannot be written."""
