"""What the readers of all messages share: JSON within a limit, its values by the table of types.

A reason never quotes the value that it is about: reasons are logged, values may be personal data.
"""

from typing import Any

import orjson

from pollux import names
from pollux.types import UnfitError, Value, read_scalar

# Of a message of rows, all of which are one transaction.
MAX_BYTES = 2**20
MAX_ROWS = 2_000


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


def read(type_: str, what: str, value: object) -> Value | None:
    """The value of a type that a message gives, in any spelling that loses nothing.

    Raises `UnreadableError`, which names `what` it is and why it cannot be read.
    """
    try:
        return read_scalar(type_, value)
    except UnfitError as error:
        raise UnreadableError(f"{what}: {error}") from None


def read_name(what: str, value: object) -> str | None:
    """A name that a message gives, as the data keep it; raises as `read` does."""
    try:
        return names.read_name(value)
    except UnfitError as error:
        raise UnreadableError(f"{what}: {error}") from None
