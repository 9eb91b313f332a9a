"""Rows of the loyalty list and conversions as they arrive: JSON, or lines of text.

Belongs here: what a row must have to count, the same as for files (`int_conversions_judged`,
`int_loyalty_lines_judged`). Does not belong here: what its texts mean (`pollux.rules`), and what
follows from a row.

A message holds one row or several; a row that cannot be read is refused alone. A reason never
quotes the value that it is about.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import orjson

from pollux import rules
from pollux.types import Value
from services.events.payloads import (
    MAX_BYTES,
    MAX_ROWS,
    UnreadableError,
    check_size,
    read,
    read_json,
    read_name,
)


class Listed(NamedTuple):
    """A row of the loyalty list."""

    email: str
    fb_user: str | None
    insta_user: str | None
    gender: str | None


class Conversion(NamedTuple):
    """A click, basket or purchase; `items` such as 6;14, `total` in dollars."""

    promotion: str
    conversion_type: str
    email: str
    channel: str | None
    items: str | None
    total: Decimal | None


class Refused(NamedTuple):
    """A row that cannot be read, as it came, and why."""

    raw: bytes
    reason: str


Row = TypeVar("Row", Listed, Conversion)


def read_loyalty_rows(payload: bytes) -> list[Listed | Refused]:
    """The rows of a loyalty list message; raises `UnreadableError` for the message as a whole."""
    return _read(payload, _listed, _listed_fields)


def read_conversions(payload: bytes) -> list[Conversion | Refused]:
    """The conversions of a message; raises `UnreadableError` for the message as a whole."""
    return _read(payload, _conversion, _conversion_fields)


def _read(
    payload: bytes,
    make: Callable[[dict[str, Any]], Row],
    fields: Callable[[str], dict[str, Any]],
) -> list[Row | Refused]:
    found: list[Row | Refused] = []
    for raw, document in _documents(payload, fields):
        if len(found) == MAX_ROWS:
            raise UnreadableError(f"the message has more than {MAX_ROWS} rows")
        try:
            found.append(make(_object(document)))
        except UnreadableError as error:
            found.append(Refused(raw, str(error)))
    if not found:
        raise UnreadableError("the message holds no row")
    return found


def _documents(
    payload: bytes, fields: Callable[[str], dict[str, Any]]
) -> Iterator[tuple[bytes, Any]]:
    if payload.lstrip()[:1] in {b"{", b"["}:
        content = read_json(payload, MAX_BYTES)
        for one in content if isinstance(content, list) else [content]:
            # In a list again: a bare text would be replayed as a line.
            yield _as_it_came(one if isinstance(one, dict) else [one]), one
        return
    check_size(payload, MAX_BYTES)
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableError("neither JSON nor text in UTF-8") from None
    for line in text.replace("\r", "\n").split("\n"):
        if line.strip(rules.BLANKS):
            yield line.encode(), fields(line)


def _as_it_came(document: object) -> bytes:
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes.
        raise UnreadableError("nested too deep") from None


def _object(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise UnreadableError("not a JSON object")
    return document


def _listed_fields(line: str) -> dict[str, Any]:
    parts = line.split(",")
    named = dict(zip(("email", "fb_user", "insta_user"), parts, strict=False))
    return {**named, "gender": rules.gender_field(line)}


def _conversion_fields(line: str) -> dict[str, Any]:
    parts = line.split(",")
    named: dict[str, Any] = dict(zip(("promotion", "type", "email"), parts, strict=False))
    detail = parts[3:4]
    named["where"] = named["items"] = detail[0] if detail else None
    # As in files, whose lines the models judge.
    named["total"] = rules.conversion_total(parts[4]) if len(parts) > 4 else None  # noqa: PLR2004
    return named


def _listed(document: dict[str, Any]) -> Listed:
    return Listed(
        _email(document),
        _text(document, "fb_user"),
        _text(document, "insta_user"),
        _text(document, "gender"),
    )


def _conversion(document: dict[str, Any]) -> Conversion:
    promotion = _text(document, "promotion")
    if promotion is None:
        raise UnreadableError("missing promotion")
    word = _text(document, "type") or ""
    # Files say clickConversion, events also click.
    kind = rules.conversion_type(word) or rules.conversion_type(f"{word}conversion")
    if kind is None:
        raise UnreadableError("unknown conversion type")
    email = _email(document)
    channel = _text(document, "where") if kind == "click" else None
    if kind == "click" and channel is None:
        raise UnreadableError("missing channel")
    items = None if kind == "click" else _items(document)
    total = _total(document.get("total")) if kind == "purchase" else None
    return Conversion(promotion, kind, email, channel, items, total)


def _text(document: dict[str, Any], name: str) -> str | None:
    return read_name(name, document.get(name))


def _email(document: dict[str, Any]) -> str:
    email = rules.email_key(_text(document, "email") or "")
    if email is None:
        raise UnreadableError("no email")
    return email


def _items(document: dict[str, Any]) -> str | None:
    value = document.get("items")
    if isinstance(value, list):
        value = ";".join(str(_item(item)) for item in value)
    return rules.item_list(str(read("text", "items", value) or ""))


def _item(item: object) -> Value:
    is_number = isinstance(item, int | float) and not isinstance(item, bool)
    found = read("id" if is_number else "label", "items", item)
    if found is None:
        raise UnreadableError("items: one of them is missing")
    return found


def _total(value: object) -> Decimal:
    total = read("money", "unreadable total", value)
    if not isinstance(total, Decimal):
        raise UnreadableError("unreadable total")
    if total < 0:
        raise UnreadableError("unreadable total: below 0")
    return total
