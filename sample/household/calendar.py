"""Days and weeks of the study, and how trips and seasonal goods follow the year.

Belongs here: what follows from the date alone. Does not belong here: when one household shops
(`trips`), and the dates of campaigns (`campaigns`).
"""

import numpy as np

from sample.household.chance import Floats, Ints

DAYS = 711
WEEKS = 102
_DAY_OF_YEAR_OF_DAY_0 = 81  # DAY 1 is 23 March 2004.
_WEEKDAYS = (1.0, 0.9, 0.88, 0.93, 0.98, 1.2, 1.11)  # Sunday first.

# Peaks of a season: day of the year, width in days, height above 1.
_PEAKS: dict[str, tuple[float, tuple[tuple[int, float, float], ...]]] = {
    "none": (1.0, ()),
    "summer": (0.45, ((190, 42.0, 1.7),)),
    "winter": (0.6, ((15, 45.0, 1.1), (345, 30.0, 0.9))),
    "holidays": (0.65, ((328, 9.0, 2.2), (354, 8.0, 2.0))),
    "christmas": (0.08, ((346, 14.0, 5.0),)),
    "halloween": (0.03, ((296, 10.0, 5.5),)),
    "easter": (0.03, ((90, 10.0, 5.5),)),
    "valentine": (0.35, ((43, 5.0, 4.5), (128, 5.0, 1.5))),
    "independence": (0.03, ((183, 8.0, 5.5),)),
    "school": (0.7, ((228, 14.0, 2.5),)),
    "gifts": (0.75, ((350, 14.0, 1.8), (43, 5.0, 1.2), (128, 5.0, 0.9))),
    "sweets": (0.8, ((300, 7.0, 2.0), (352, 9.0, 1.3), (90, 7.0, 1.5), (43, 5.0, 1.0))),
}
SEASONS = tuple(_PEAKS)

_HOLIDAYS = ((327, 4.0, 0.32), (356, 4.0, 0.35), (183, 3.0, 0.15), (88, 4.0, 0.12))
_CHRISTMAS_DAY = 359


def day_of_year(days: Ints) -> Ints:
    """Day of the year, 1 for 1 January, within a day."""
    return (days + _DAY_OF_YEAR_OF_DAY_0 - 1) % 365 + 1


def week_of(days: Ints) -> Ints:
    """WEEK_NO of DAY; weeks start on Sundays."""
    return (days + 8) // 7


def _bumps(of_year: Ints, peaks: tuple[tuple[int, float, float], ...]) -> Floats:
    total = np.zeros(of_year.shape)
    for centre, width, height in peaks:
        away = np.abs(of_year - centre)
        away = np.minimum(away, 365 - away)
        total += height * np.exp(-0.5 * (away / width) ** 2)
    return total


def trip_factor() -> Floats:
    """How much people shop on DAY 0 … DAYS; about 1 on average."""
    days = np.arange(DAYS + 1)
    of_year = day_of_year(days)
    factor = np.array(_WEEKDAYS)[(days + 8) % 7] * (1 + _bumps(of_year, _HOLIDAYS))
    factor[of_year == _CHRISTMAS_DAY] = 0.25
    result: Floats = np.round(factor / factor.mean(), 6)
    return result


def season_factors() -> Floats:
    """Demand by season (of `SEASONS`) and week (0 … WEEKS), as a share of the highest."""
    midweek = np.arange(WEEKS + 1) * 7 - 5
    of_year = day_of_year(midweek)
    curves = np.stack([base + _bumps(of_year, peaks) for base, peaks in _PEAKS.values()])
    result: Floats = np.round(curves / curves.max(axis=1, keepdims=True), 6)
    return result
