"""What each type takes and refuses, by the table of spellings."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.spellings import SPELLINGS
from pollux.types import TYPES, UnfitError, invisible, read_scalar, read_text, visible, write_text

BLANKS = ["", " ", "\t", "\r\n"]


def spellings(door):
    return [
        pytest.param(name, spelling, id=f"{name}: {str(spelling.written)[:40]!r}")
        for name, every in SPELLINGS.items()
        for spelling in getattr(every, door)
    ]


def check(read, type_, spelling):
    if spelling.reason is None:
        value = read(type_, spelling.written)
        assert value == spelling.value
        assert type(value) is type(spelling.value)
    else:
        with pytest.raises(UnfitError) as caught:
            read(type_, spelling.written)
        assert str(caught.value) == spelling.reason


@pytest.mark.parametrize(("type_", "spelling"), spellings("text"))
def test_a_text_gives_its_value_or_the_reason(type_, spelling):
    check(read_text, type_, spelling)


@pytest.mark.parametrize(("type_", "spelling"), spellings("json"))
def test_a_scalar_gives_what_its_text_gives(type_, spelling):
    check(read_scalar, type_, spelling)


@pytest.mark.parametrize(("type_", "spelling"), spellings("text"))
def test_a_value_written_out_is_read_back(type_, spelling):
    if spelling.reason is None:
        assert read_text(type_, write_text(spelling.value)) == spelling.value


@pytest.mark.parametrize("type_", TYPES)
def test_blank_is_null(type_):
    assert read_scalar(type_, None) is None
    assert read_text(type_, "") is None
    if not TYPES[type_].is_text:
        assert [read_text(type_, blank) for blank in BLANKS] == [None] * len(BLANKS)


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("money", Decimal("12.5"), Decimal("12.50")),
        ("integer", Decimal("3E+2"), 300),
        ("date", date(2024, 1, 5), date(2024, 1, 5)),
        ("date", datetime(2024, 1, 5, tzinfo=UTC), date(2024, 1, 5)),
        ("timestamp", date(2024, 1, 5), datetime.fromisoformat("2024-01-05")),
        (
            "timestamp",
            datetime(2024, 1, 5, 10, tzinfo=UTC),
            datetime.fromisoformat("2024-01-05 10:00"),
        ),
        ("integer", 1760000000 % 10**9 + 0.0, 760000000),
        ("id", 1760000000.0, 1760000000),
    ],
)
def test_scalars_of_python(type_, value, expected):
    assert read_scalar(type_, value) == expected


@pytest.mark.parametrize("type_", [name for name, one in TYPES.items() if not one.is_text])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -(10**20), b"7", [], {}])
def test_what_no_type_of_numbers_and_times_takes(type_, value):
    with pytest.raises(UnfitError):
        read_scalar(type_, value)


@given(st.sampled_from(list(TYPES)), st.text() | st.from_regex(r"[-+0-9.eE:TZ ]{0,30}"))
def test_any_text_is_read_or_refused_and_what_is_read_stays_the_same(type_, text):
    try:
        value = read_text(type_, text)
    except UnfitError:
        return
    if value is not None:
        assert read_text(type_, write_text(value)) == value


@given(st.sampled_from(["id", "integer", "money", "number"]), st.decimals(allow_nan=False))
def test_what_a_number_is_read_as_is_that_number(type_, number):
    try:
        value = read_text(type_, str(number))
    except UnfitError:
        return
    assert Decimal(value) == number or (type_ == "number" and value == float(number))


@given(
    st.sampled_from(list(TYPES)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=4,
    ),
)
def test_any_json_is_read_or_refused(type_, value):
    try:
        read_scalar(type_, value)
    except UnfitError:
        return


@pytest.mark.parametrize("character", "\ufeff\u200b\u200e\u2060\xad\x07\xa0\u2009")
def test_what_a_screen_does_not_show_is_named(character):
    assert invisible(f"a{character}b") == f"U+{ord(character):04X}"
    assert visible(f"{character}account_number{character}") == "account_number"
    with pytest.raises(UnfitError, match=rf"invisible character \(U\+{ord(character):04X}\)"):
        read_text("integer", f"{character}7")


def test_plain_text_has_nothing_invisible():
    assert invisible("Änne Öz, 5 €\t日本") is None


@pytest.mark.parametrize("type_", ["text", "label"])
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_a_character_is_no_text(type_, text):
    """JSON can spell it; UTF-8, and so every later stage, has no bytes for it."""
    with pytest.raises(UnfitError, match="half of a character"):
        read_scalar(type_, text)
    assert (
        read_scalar(type_, "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"))
        == "😀"
    )


@pytest.mark.parametrize("type_", TYPES)
def test_a_number_that_python_does_not_write_out(type_):
    with pytest.raises(UnfitError, match="more than"):
        read_scalar(type_, 10**5000)
