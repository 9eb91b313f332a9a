"""The window of the orders, and how shopping follows the year. Days count from 1970-01-01.

Belongs here: what follows from the date alone. Does not belong here: which coupons are valid when
(`coupons`), and the season of their use (`coupon_use`).
"""

import numpy as np

from sample.chance import Floats
from sample.columns import day

FIRST_DAY = day("2023-11-01")
LAST_DAY = day("2026-10-31")
DAYS = LAST_DAY - FIRST_DAY + 1

_WEEKDAYS = (0.85, 0.85, 0.9, 0.95, 1.15, 1.4, 0.9)  # Monday first; 1970-01-01 was a Thursday
# Day of the year, width in days, height above 1: the gifts of December, sales, spring, school.
_PEAKS = ((348, 12.0, 1.1), (8, 8.0, 0.4), (105, 25.0, 0.25), (240, 14.0, 0.4))


def day_of_year() -> Floats:
    """Day of the year, 1 to 365, of each day of the window."""
    days = np.arange(FIRST_DAY, LAST_DAY + 1).astype("datetime64[D]")
    of_year = (days - days.astype("datetime64[Y]")).astype(np.int64) + 1
    result: Floats = np.minimum(of_year, 365).astype(np.float64)
    return result


def demand() -> Floats:
    """Demand on each day of the window; 1 is an ordinary day."""
    of_year = day_of_year()
    season = np.ones(DAYS)
    for centre, width, height in _PEAKS:
        away = np.abs(of_year - centre)
        away = np.minimum(away, 365 - away)
        season += height * np.exp(-0.5 * (away / width) ** 2)
    weekday = (np.arange(FIRST_DAY, LAST_DAY + 1) + 3) % 7
    result: Floats = np.round(season * np.array(_WEEKDAYS)[weekday], 6)
    return result
