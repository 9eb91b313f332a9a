"""Days, weeks and dates; the models' seed and the Python functions are one calendar."""

import csv
from datetime import date, timedelta

import pytest

from pollux.calendar import DAY_ONE, date_of, day_of, first_day_of, week_of
from pollux.runtime.settings import PROJECT_DIR

SUNDAY = 6


def test_day_one_is_that_of_the_models() -> None:
    with (PROJECT_DIR / "seeds" / "calendar.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {"day": "1", "date": DAY_ONE.isoformat(), "week_no": str(week_of(1))}


@pytest.mark.parametrize(
    ("day", "when"),
    [
        (1, date(2004, 3, 23)),
        (0, date(2004, 3, 22)),
        (101, date(2004, 7, 1)),
        # The study's last day, over the end of a leap year's February.
        (708, date(2006, 2, 28)),
        (8284, date(2026, 11, 26)),
    ],
)
def test_a_day_has_a_date(day: int, when: date) -> None:
    assert (date_of(day), day_of(when)) == (when, day)


def test_weeks_begin_on_sundays() -> None:
    days = range(-400, 1000)
    begin = [day for day in days if week_of(day) != week_of(day - 1)]
    assert {date_of(day).weekday() for day in begin} == {SUNDAY}
    assert {week_of(day) - week_of(day - 7) for day in days} == {1}
    assert (week_of(101), week_of(708)) == (15, 102)
    assert begin == [first_day_of(week_of(day)) for day in begin]
    assert date_of(6) - DAY_ONE == timedelta(days=5)
