"""Rows of the loyalty list and conversions, as JSON and as lines of text."""

import pytest

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


@pytest.mark.parametrize("total", [b"-1", b'"1,5"', b"1.234", b"true", b"null", b'"NaN"'])
def test_a_total_is_whole_cents(total: bytes) -> None:
    row = b'{"promotion": "H", "type": "purchase", "email": "a@x", "total": %s}' % total
    (found,) = read_conversions(row)
    assert isinstance(found, Refused)
    assert found.reason == "unreadable total"
