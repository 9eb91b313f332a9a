"""Values in words."""

from datetime import UTC, date, datetime

import pytest

from services.dashboard import words
from tests.services.dashboard.support import row


def test_values_in_words() -> None:
    assert words.money(4120.07) == "$4,120.07"
    assert words.whole_money(1204551.07) == "$1,204,551"
    assert words.share(0.1254) == "12.5%"
    assert words.day("2006-02-26") == "26 Feb 2006"
    assert words.sentence("last visit today") == "Last visit today."
    assert words.in_words("FRZN MEAT") == "Frzn meat"
    assert words.in_words("Sport") == "Sport"


def test_a_week_is_its_first_day() -> None:
    # Day 101 is 1 July 2004, a Thursday of week 15.
    assert words.date_of_week(15) == date(2004, 6, 27)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7200, "2 hours ago"),
        (86400, "1 day ago"),
    ],
)
def test_ages(seconds: int, said: str) -> None:
    now = datetime.fromtimestamp(1_800_000_000 + seconds, UTC)
    assert words.age("2027-01-15T08:00:00Z", now) == said


def test_a_column_without_words_is_an_error() -> None:
    with pytest.raises(KeyError):
        words.label("some_raw_name")


@pytest.mark.parametrize(
    ("coupon_type", "said"),
    [
        ("buy_more", "34 % off 4 of a product"),
        ("buy_all", "34 % off 4 products together"),
        ("just_discount", "34 % off a product"),
        ("department", "34 % off everything in Boys"),
    ],
)
def test_coupons_in_words(coupon_type: str, said: str) -> None:
    coupon = row("store", "coupon_info", coupon_type=coupon_type)
    assert words.coupon(coupon) == said
