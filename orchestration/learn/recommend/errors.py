"""What an evaluation can fail with."""

from pollux.runtime.errors import PolluxError


class BasketsError(PolluxError):
    """A file that holds no baskets to measure on; the text says what is wrong with it."""

    exit_code = 6
