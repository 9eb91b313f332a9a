"""Shopping trips: when each household goes to which store, and for how much.

Belongs here: day, time, store, kind and size of each trip, and its basket id. Does not belong here:
what is bought on it (`baskets`), and how often and where a household likes to shop (`traits`).
"""

from dataclasses import dataclass

import numpy as np

from sample.household.calendar import DAYS, trip_factor, week_of
from sample.household.chance import (
    Flags,
    Floats,
    Ints,
    Purpose,
    generator,
)
from sample.household.retailer import Retailer
from sample.household.traits import Traits

_SECOND_TRIPS = 0.05  # of days with a trip
_ELSEWHERE = 0.035  # trips to a store that is not one of the household's own
_FADING_DAYS = 45  # before a leaving household has left
_MOST_A_DAY = 0.92
_TO_THE_LAST_DAY = 0.6  # households that shop more than this share do so to the last day
_SECOND_STORE = 0.4  # of the trips elsewhere go to the third store, the others to the second
# Trips by hour of the day, for the three habits of `Traits.time_of_day`.
_HOURS = (5, 3, 2, 2, 1, 2, 6, 11, 14, 28, 36, 48, 59, 66, 69, 79, 84, 99, 81, 65, 49, 38, 21, 10)
_HABITS = ((14.0, -0.22), (14.0, 0.0), (14.0, 0.22))

_BASKETS_FROM = 26_984_000_000
_MINUTES = 1440
# Households that fit into one minute's range of basket ids; a prime, so that no two share an id.
_BASKET_RANGE = 14_897
_STRIDE = 7919  # another prime


@dataclass(frozen=True)
class Trips:
    """Columns over trips, by household and time."""

    household: Ints  # position in the batch
    day: Ints
    week: Ints
    minute: Ints
    store: Ints
    is_main: Flags
    is_for_gasoline: Flags
    size: Floats  # factor on the household's usual basket
    basket_id: Ints


def basket_range(households: int) -> int:
    """The distance between the basket ids of consecutive minutes; wider for more households."""
    wide = max(_BASKET_RANGE, households + 1)
    return wide if wide % _STRIDE else wide + 1


def make_trips(retailer: Retailer, traits: Traits, minute_range: int) -> Trips:
    """The trips of a batch; each minute's basket ids start `minute_range` after the last."""
    rng = generator(retailer.seed, Purpose.TRIPS, traits.part)
    days = np.arange(DAYS + 1)
    chance = traits.trips_a_day[:, None] * trip_factor()[None, :]
    here = (days >= traits.start[:, None]) & (days <= traits.end[:, None]) & (days > 0)
    leaves = (traits.end < DAYS)[:, None] & (days > traits.end[:, None] - _FADING_DAYS)
    chance = np.where(leaves, chance * 0.6, chance)
    goes = (rng.random(chance.shape) < np.minimum(chance, _MOST_A_DAY)) & here
    # A first and a last trip on the days in the traits, a single trip for one-timers.
    goes[np.arange(len(goes)), traits.end] = traits.activity > _TO_THE_LAST_DAY
    goes[np.arange(len(goes)), traits.start] = True
    goes &= ~traits.is_one_timer[:, None] | (days == traits.start[:, None])

    household, day = np.nonzero(goes)
    again = (rng.random(household.size) < _SECOND_TRIPS) & ~traits.is_one_timer[household]
    habit = traits.time_of_day[household]
    minute = _minutes(rng, habit)
    later = (minute[again] + 30 + rng.integers(0, 600, int(again.sum()))) % _MINUTES
    household = np.concatenate([household, household[again]])
    day = np.concatenate([day, day[again]])
    minute = np.concatenate([minute, later])
    order = np.lexsort((minute, day, household))
    household, day, minute = household[order], day[order], minute[order]

    many = household.size
    choice = np.where(
        rng.random(many) < traits.loyalty[household], 0, 1 + (rng.random(many) < _SECOND_STORE)
    )
    store = traits.stores[household, choice]
    passing = rng.random(many) < _ELSEWHERE
    anywhere = np.searchsorted(retailer.stores.shoppers, rng.random(many), side="right")
    is_main = rng.random(many) < traits.main_trips[household]
    is_main |= traits.is_one_timer[household]
    for_gasoline = ~is_main & (rng.random(many) < traits.gasoline[household])
    size: Floats = np.where(
        is_main, 2.0 * rng.gamma(2.2, 1 / 2.2, many), 0.42 * rng.gamma(1.1, 0.9, many)
    )
    slot = (traits.key[household] * _STRIDE) % minute_range
    basket_id = (
        _BASKETS_FROM + day * (_MINUTES * minute_range + 64_000) + minute * minute_range + slot
    )
    return Trips(
        household=household,
        day=day,
        week=week_of(day),
        minute=minute,
        store=np.where(passing, anywhere, store),
        is_main=is_main,
        is_for_gasoline=for_gasoline,
        size=np.round(size, 6),
        basket_id=basket_id,
    )


def _minutes(rng: np.random.Generator, habit: Ints) -> Ints:
    hours = np.arange(24)
    minute = np.zeros(habit.size, np.int64)
    draw = rng.random(habit.size)
    within = rng.integers(0, 60, habit.size)
    for which, (centre, slope) in enumerate(_HABITS):
        weights = np.array(_HOURS) * np.exp(np.clip(slope * (hours - centre), -2, 2))
        running = np.round(np.cumsum(weights) / weights.sum(), 9)
        mine = habit == which
        hour = np.minimum(np.searchsorted(running, draw[mine], side="right"), 23)
        minute[mine] = hour * 60 + within[mine]
    return minute
