"""What the readers of all messages share: JSON within a limit, and the error of an unreadable one.

A reason never quotes the value that it is about: reasons are logged, values may be personal data.
"""

from typing import Any

import orjson


class UnreadableError(Exception):
    """A message that cannot be read; the text says why, without any of its values."""


def check_size(payload: bytes, limit: int) -> None:
    """Raises `UnreadableError` for a message of more bytes than that."""
    if len(payload) > limit:
        raise UnreadableError(f"the message has {len(payload)} bytes; {limit} are read")


def read_json(payload: bytes, limit: int) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The JSON value of a message; raises `UnreadableError`."""
    if not payload:
        raise UnreadableError("the message is empty")
    check_size(payload, limit)
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        # The first words say what is wrong; the rest may quote the message.
        raise UnreadableError(f"not JSON: {error.msg.partition(':')[0]}") from None
