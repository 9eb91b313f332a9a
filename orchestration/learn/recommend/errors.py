"""The errors of an evaluation."""

from pollux.runtime.errors import PolluxError


class BasketsError(PolluxError):
    """A file without baskets to measure on; the message says what is wrong with it."""

    exit_code = 6
