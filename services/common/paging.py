"""Keyset paging: where the next page starts, as text that only this list understands.

Belongs here: writing and reading `next`, and putting a page together. Does not belong here: the
queries.

`next` holds the last row's sort keys and a checksum over them and over what they belong to (the
list, its filters and its sort). It is no secret and grants nothing; the checksum keeps a page of
one list from being asked of another.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from services.common.problems import ProblemError, invalid_input

CHECKSUM_BYTES = 12
MAX_TOKEN_LENGTH = 400
MAX_DIGITS = 40
BIGINT = range(-(2**63), 2**63)

Position = tuple[int | Decimal, ...]


def write_next(binding: str, keys: Sequence[str]) -> str:
    """The token of the page after the row with these sort keys."""
    content = json.dumps(list(keys), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_checksum(binding, content) + content).decode().rstrip("=")


def read_next(binding: str, token: str, kinds: Sequence[type[int] | type[Decimal]]) -> Position:
    """The sort keys in a token; raises the problem of one that is not of this list."""
    try:
        texts = _keys_in(binding, token)
        return tuple(_number(text, kind) for text, kind in zip(texts, kinds, strict=True))
    except (ValueError, TypeError, InvalidOperation, binascii.Error):
        raise foreign_next() from None


def foreign_next() -> ProblemError:
    """The problem of a `next` that belongs to another list."""
    return invalid_input(
        "query",
        "next",
        "Not a next of this list with these filters and this sort. Use it as it was given, with "
        "the same parameters (limit may change).",
    )


def page(documents: Sequence[str], following: str | None) -> bytes:
    """A page as JSON: the documents, and the token of what follows."""
    end = "null" if following is None else f'"{following}"'
    return f'{{"data":[{",".join(documents)}],"next":{end}}}'.encode()


def _keys_in(binding: str, token: str) -> list[str]:
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError
    data = base64.b64decode(
        token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
    )
    checksum, content = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
    if checksum != _checksum(binding, content):
        raise ValueError
    texts: list[str] = json.loads(content)
    # Base64 has several spellings of the same bytes.
    if write_next(binding, texts) != token:
        raise ValueError
    return texts


def _number(text: str, kind: type[int] | type[Decimal]) -> int | Decimal:
    if len(text) > MAX_DIGITS:
        raise ValueError
    number = kind(text)
    if isinstance(number, int):
        if number not in BIGINT:
            raise ValueError
    elif not number.is_finite():
        raise ValueError
    return number


def _checksum(binding: str, content: bytes) -> bytes:
    message = binding.encode() + b"\0" + content
    return hashlib.blake2b(message, digest_size=CHECKSUM_BYTES, person=b"pollux next").digest()
