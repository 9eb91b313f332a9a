"""Keyset paging: `next`, the token that says where a list's next page starts.

It holds the last row's sort keys and a checksum over them and over the list, its filters and its
sort. It is not secret and grants nothing; the checksum keeps the token of one list from being used
with another.
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from services.common.problems import ProblemError, invalid_input

CHECKSUM_BYTES = 12
# A PostgreSQL index takes text of 2,704 bytes at most.
MAX_TOKEN_LENGTH = 8000
MAX_DIGITS = 40
TRUTH = {"true": True, "false": False}
BIGINT = range(-(2**63), 2**63)

Key = int | Decimal | float | str | date
Position = tuple[Key | None, ...]


def write_next(binding: str, keys: Sequence[str | None]) -> str:
    """The token of the page after the row with these sort keys, as PostgreSQL writes them."""
    content = json.dumps(list(keys), separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_checksum(binding, content) + content).decode().rstrip("=")


def read_next(
    binding: str, token: str, kinds: Sequence[type], *, first_may_be_null: bool = False
) -> Position:
    """The sort keys in a token, of these kinds; raises a problem if it is another list's."""
    try:
        texts = _keys_in(binding, token)
        first: Position = ()
        if first_may_be_null and texts and texts[0] is None:
            first, texts, kinds = (None,), texts[1:], kinds[1:]
        return first + tuple(_key(text, kind) for text, kind in zip(texts, kinds, strict=True))
    except (LookupError, ValueError, TypeError, InvalidOperation, binascii.Error):
        raise foreign_next() from None


def foreign_next() -> ProblemError:
    """The problem of a `next` that belongs to another list."""
    return invalid_input(
        "query",
        "next",
        "Not a next of this list with these filters and this sort. Use it as it was given, with "
        "the same parameters (limit may change).",
    )


def page_of_rows(
    binding: str, rows: Sequence[Sequence[str]], limit: int, count: int | None = None
) -> bytes:
    """A page as JSON, from up to `limit` + 1 rows of a document and its sort keys.

    The last row of so many only shows that there are more.
    """
    shown = rows[:limit]
    following = write_next(binding, shown[-1][1:]) if len(rows) > limit else None
    return page([row[0] for row in shown], following, count)


def page(documents: Sequence[str], following: str | None = None, count: int | None = None) -> bytes:
    """A page as JSON: the documents, the token of the next page, and the count if there is one."""
    end = "null" if following is None else f'"{following}"'
    counted = "" if count is None else f',"count":{count}'
    return f'{{"data":[{",".join(documents)}],"next":{end}{counted}}}'.encode()


def _keys_in(binding: str, token: str) -> list[str | None]:
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError
    data = base64.b64decode(
        token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
    )
    checksum, content = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
    if checksum != _checksum(binding, content):
        raise ValueError
    texts: list[str | None] = json.loads(content)
    # Base64 has several spellings of the same bytes.
    if write_next(binding, texts) != token:
        raise ValueError
    return texts


def _key(text: str | None, kind: type) -> Key:
    if not isinstance(text, str) or "\0" in text:
        raise TypeError
    if kind is str:
        return text
    if kind is datetime:
        return datetime.fromisoformat(text)
    if kind is date:
        return date.fromisoformat(text)
    if kind is bool:
        return TRUTH[text]
    if len(text) > MAX_DIGITS:
        raise ValueError
    number: int | Decimal | float = kind(text)
    if isinstance(number, int):
        if number not in BIGINT:
            raise ValueError
    elif not math.isfinite(number):
        raise ValueError
    return number


def _checksum(binding: str, content: bytes) -> bytes:
    message = binding.encode() + b"\0" + content
    return hashlib.blake2b(message, digest_size=CHECKSUM_BYTES, person=b"pollux next").digest()
