"""The error of the load step.

Belongs here: `LoadError`. Does not belong here: the messages, which stand where they are raised.
"""

from pollux.runtime.errors import PolluxError


class LoadError(PolluxError):
    """A load that changed nothing in the landing zone; the text says why and what to do."""

    exit_code = 6
