"""The base of every error that a user can cause or fix."""


class PolluxError(Exception):
    """Its text is the whole message a user needs; the command prints it without a traceback."""

    exit_code = 1
