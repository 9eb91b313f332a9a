"""Day numbers and dates: how household data count days and weeks.

Belongs here: the one mapping between the two, for files, the API and Python. Models take it from
the seed `calendar`, which a test holds to be the same.
"""

from datetime import date, timedelta

DAY_ONE = date(2004, 3, 23)
"""The date of day 1. Days are counted from it in both directions."""

# Weeks begin on Sundays; week 1 has the days 1 to 5 only.
_DAYS_BEFORE = 8
_DAYS_OF_WEEK = 7


def date_of(day: int) -> date:
    """The date of a day number.

    Raises:
        OverflowError: for a day outside the years 1 to 9999.

    """
    return DAY_ONE + timedelta(days=day - 1)


def day_of(when: date) -> int:
    """The number of a date's day."""
    return (when - DAY_ONE).days + 1


def week_of(day: int) -> int:
    """The number of the week that a day is in."""
    return (day + _DAYS_BEFORE) // _DAYS_OF_WEEK


def first_day_of(week: int) -> int:
    """The number of the first day of a week; the first week begins before day 1."""
    return _DAYS_OF_WEEK * week - _DAYS_BEFORE
