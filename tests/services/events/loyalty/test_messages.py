"""Rows of the loyalty list and conversions, as JSON and as lines of text."""

import json

import pytest

from docs.spellings import SPELLINGS, Spelling
from pollux.types import LABEL_LENGTH, TEXT_LENGTH
from services.events.loyalty.messages import Conversion, Listed, Refused, read_conversions
from services.events.loyalty.messages import read_loyalty_rows as read_rows
from services.events.payloads import UnreadableError


def test_rows_are_read_like_files_are() -> None:
    rows = read_rows(
        b"\xef\xbb\xbfKanga@X.y, fb, , F\n\nb@x.y\nc@x.y, , insta, extra, M\n d , , , \n"
    )
    assert rows == [
        Listed("kanga@x.y", "fb", None, "F"),
        Listed("b@x.y", None, None, None),
        Listed("c@x.y", None, "insta", "M"),
        Refused(b" d , , , ", "no email"),
    ]
    with pytest.raises(UnreadableError, match="neither JSON nor text"):
        read_rows(b"\xff\xfea@x.y")
    with pytest.raises(UnreadableError, match="holds no row"):
        read_rows(b" \r\n ")
    with pytest.raises(UnreadableError, match="holds no row"):
        read_rows(b"[]")


def test_conversions_of_json_and_text_are_the_same() -> None:
    lines = b"H, ClickConversion, A@x.y, Instagram\nH, PurchaseConversion, a@x.y, [6;14], 18.64"
    rows = (
        b'[{"promotion": "H", "type": "click", "email": "a@x.y", "where": "Instagram"},'
        b'{"promotion": "H", "type": "PurchaseConversion", "email": "a@x.y", "items": [6, "14"],'
        b'"total": 18.64}]'
    )
    assert read_conversions(lines) == read_conversions(rows)
    assert [type(row) for row in read_conversions(rows)] == [Conversion, Conversion]


def test_a_text_in_a_list_is_no_line_when_it_is_read_again() -> None:
    line = b'"Hoodie, ClickConversion, a@x.y, Instagram"'
    (refused,) = read_conversions(b"[" + line + b"]")
    assert isinstance(refused, Refused)
    (again,) = read_conversions(refused.raw)
    assert again == refused


@pytest.mark.parametrize(
    ("total", "why"),
    [
        (b"-1", ": below 0"), (b'"1,5"', ": not a number"), (b"1.234", ": more than two decimals"),
        (b"true", ": not a number"), (b"null", ""), (b'" "', ""),
        (b'"NaN"', ": not a number; leave the field blank for null"),
        (b"10000000000", ": more than 10 digits before the point"),
        (b"[1]", ": a value is wanted, not a list"),
    ],
)  # fmt: skip
def test_a_total_is_whole_cents(total: bytes, why: str) -> None:
    row = b'{"promotion": "H", "type": "purchase", "email": "a@x", "total": %s}' % total
    (found,) = read_conversions(row)
    assert isinstance(found, Refused)
    assert found.reason == "unreadable total" + why


@pytest.mark.parametrize("spelling", SPELLINGS["money"].json, ids=lambda one: repr(one.written))
def test_a_total_is_read_by_the_table_of_types(spelling: Spelling) -> None:
    document = {"promotion": "H", "type": "purchase", "email": "a@x", "total": spelling.written}
    (found,) = read_conversions(json.dumps(document).encode())
    if spelling.reason is None:
        assert isinstance(found, Conversion)
        assert found.total == spelling.value
    else:
        assert isinstance(found, Refused)
        assert found.reason == f"unreadable total: {spelling.reason}"


LABELS = [*SPELLINGS["label"].text, *SPELLINGS["label"].json]


@pytest.mark.parametrize("spelling", LABELS, ids=lambda one: repr(one.written)[:30])
@pytest.mark.parametrize("field", ["fb_user", "insta_user", "gender"])
def test_names_are_read_by_the_table_of_types(spelling: Spelling, field: str) -> None:
    (found,) = read_rows(json.dumps({"email": "a@x", field: spelling.written}).encode())
    if spelling.reason is None:
        assert isinstance(found, Listed)
        # As everywhere, blanks around a name do not count.
        assert getattr(found, field) == str(spelling.value).strip()
    else:
        assert isinstance(found, Refused)
        assert found.reason == f"{field}: {spelling.reason}"


@pytest.mark.parametrize("read", [read_rows, read_conversions])
@pytest.mark.parametrize("start", [b"[", b"a@x.y,"])
def test_a_message_above_the_limit_is_refused_as_a_whole(read, start: bytes) -> None:
    payload = start + b" " * (2**20 + 1 - len(start))
    with pytest.raises(UnreadableError) as refused:
        read(payload)
    assert str(refused.value) == "the message has 1048577 bytes; 1048576 are read"


@pytest.mark.parametrize("field", ["promotion", "email", "where"])
def test_a_name_longer_than_any_that_is_kept_is_refused_with_the_limit(field: str) -> None:
    """The limit is that of the landing zone, the models and the index of PostgreSQL."""
    row = {"promotion": "H", "type": "click", "email": "a@x", "where": "Web"}
    longest = row | {field: "a@" + "x" * (LABEL_LENGTH - 2)}
    for one in (longest, longest | {field: " " * 300 + longest[field]}):
        (kept,) = read_conversions(json.dumps(one).encode())
        assert isinstance(kept, Conversion)
    (refused,) = read_conversions(json.dumps(longest | {field: longest[field] + "x"}).encode())
    assert isinstance(refused, Refused)
    assert refused.reason == f"{field}: longer than 255 characters"


def test_items_of_any_number_are_those_of_a_file() -> None:
    numbers = list(range(600))
    text = ";".join(map(str, numbers))
    row = {"promotion": "H", "type": "basket", "email": "a@x"}
    for items in (text, f"[{text}]", numbers, [float(one) for one in numbers]):
        (found,) = read_conversions(json.dumps(row | {"items": items}).encode())
        assert isinstance(found, Conversion)
        assert found.items == text
    (line,) = read_conversions(f"H, basketConversion, a@x, [{text}]".encode())
    assert line == found
    for items, reason in (
        ([6, 1.5], "items: not a whole number"),
        ([6, None], "items: one of them is missing"),
        ([6, [7]], "items: a value is wanted, not a list"),
        ("x" * (TEXT_LENGTH + 1), "items: longer than 100,000 characters"),
    ):
        (refused,) = read_conversions(json.dumps(row | {"items": items}).encode())
        assert isinstance(refused, Refused)
        assert refused.reason == reason
