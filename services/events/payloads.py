"""What the readers of all messages share.

Belongs here: JSON within a limit, and the error of what cannot be read. Does not belong here: what
any kind of message says (`coupons.messages`, `loyalty.messages`).

A reason never holds what it speaks of: it is logged, and may be somebody's data.
"""

from typing import Any

import orjson


class UnreadableError(Exception):
    """A message that cannot be read; the text says why, without any of its values."""


def read_json(payload: bytes, limit: int) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The JSON value of a message; raises `UnreadableError`."""
    if not payload:
        raise UnreadableError("the message is empty")
    if len(payload) > limit:
        raise UnreadableError(f"the message has {len(payload)} bytes; {limit} are read")
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        # Its first words tell what; what follows may quote.
        raise UnreadableError(f"not JSON: {error.msg.partition(':')[0]}") from None
