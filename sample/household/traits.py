"""The households: how they live and shop, and what is known about them.

Belongs here: what stays the same for a household over the two years. Traits of a household depend
on its key and the seed, not on how many households there are.
"""

from dataclasses import dataclass

import numpy as np

from sample.household.calendar import DAYS
from sample.household.catalogue import CLUSTERS
from sample.household.chance import (
    Flags,
    Floats,
    Ints,
    Purpose,
    generator,
    spread,
)
from sample.household.retailer import Retailer

FIRST_HOUSEHOLD = 1

DEMOGRAPHICS = (
    "AGE_DESC",
    "MARITAL_STATUS_CODE",
    "INCOME_DESC",
    "HOMEOWNER_DESC",
    "HH_COMP_DESC",
    "HOUSEHOLD_SIZE_DESC",
    "KID_CATEGORY_DESC",
)

_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0)
_TRIPS_A_DAY = (0.012, 0.045, 0.085, 0.135, 0.21, 0.33, 0.52, 0.95)
_LINES_A_TRIP = (2.2, 4.2, 6.0, 8.6, 12.5, 17.5, 23.0, 34.0)
_START = ((0.0, 0.1, 0.5, 0.85, 0.95, 1.0), (1, 10, 55, 105, 210, 430))
# The last day on which a household may shop; most shop to the end.
_END = ((0.0, 0.03, 0.065, 0.12, 0.17, 0.1701, 1.0), (240, 525, 612, 672, 698, DAYS, DAYS))
_ONE_TIMERS = 0.006
_COUPON_USERS = 0.285
_GASOLINE_BUYERS = 0.26

_AGES = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
_AGE_SHARES = (0.057, 0.177, 0.242, 0.36, 0.074, 0.09)
_COMPOSITIONS = (
    "2 Adults No Kids",
    "2 Adults Kids",
    "Single Female",
    "Single Male",
    "Unknown",
    "1 Adult Kids",
)
# Shares of compositions by age, in the order of _COMPOSITIONS.
_COMPOSITION_SHARES = (
    (0.2, 0.2, 0.24, 0.2, 0.1, 0.06),
    (0.24, 0.34, 0.14, 0.12, 0.08, 0.08),
    (0.2, 0.38, 0.14, 0.1, 0.08, 0.1),
    (0.38, 0.19, 0.19, 0.12, 0.08, 0.04),
    (0.5, 0.06, 0.24, 0.1, 0.1, 0.0),
    (0.44, 0.01, 0.3, 0.12, 0.13, 0.0),
)
_INCOMES = (
    "Under 15K",
    "15-24K",
    "25-34K",
    "35-49K",
    "50-74K",
    "75-99K",
    "100-124K",
    "125-149K",
    "150-174K",
    "175-199K",
    "200-249K",
    "250K+",
)
_INCOME_SHARES = (
    (0.22, 0.1, 0.12, 0.28, 0.18, 0.04, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01),
    (0.07, 0.09, 0.1, 0.24, 0.26, 0.09, 0.05, 0.05, 0.03, 0.01, 0.005, 0.005),
    (0.06, 0.09, 0.09, 0.2, 0.23, 0.14, 0.04, 0.06, 0.05, 0.01, 0.01, 0.02),
    (0.07, 0.09, 0.09, 0.18, 0.28, 0.14, 0.04, 0.04, 0.03, 0.02, 0.005, 0.015),
    (0.07, 0.08, 0.1, 0.27, 0.16, 0.1, 0.08, 0.04, 0.07, 0.02, 0.005, 0.005),
    (0.09, 0.15, 0.11, 0.28, 0.16, 0.1, 0.05, 0.04, 0.01, 0.005, 0.0025, 0.0025),
)
_HOMES = ("Homeowner", "Unknown", "Renter", "Probable Renter", "Probable Owner")
_HOME_SHARES = (0.628, 0.291, 0.053, 0.014, 0.014)
_MARITAL = ("A", "B", "U")
# Shares of married, single and unknown by composition, in the order of _COMPOSITIONS.
_MARITAL_SHARES = (
    (0.53, 0.11, 0.36),
    (0.72, 0.05, 0.23),
    (0.23, 0.27, 0.5),
    (0.13, 0.26, 0.61),
    (0.12, 0.03, 0.85),
    (0.34, 0.3, 0.36),
)
_SIZES = ("1", "2", "3", "4", "5+")
_SIZE_SHARES = (
    (0.0, 1.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.47, 0.25, 0.28),
    (0.77, 0.23, 0.0, 0.0, 0.0),
    (0.87, 0.13, 0.0, 0.0, 0.0),
    (0.83, 0.06, 0.07, 0.0, 0.04),
    (0.0, 0.3, 0.34, 0.15, 0.21),
)
_KIDS_BY_SIZE = ("None/Unknown", "1", "1", "2", "3+")
_WITH_KIDS = (1, 5)
_MORE_KIDS = 0.5
_LIKE_OTHERS = 0.5


@dataclass(frozen=True)
class Traits:
    """Columns over the households of batch `part`, in the order of their keys."""

    part: int
    key: Ints
    trips_a_day: Floats
    lines_a_trip: Floats
    activity: Floats  # rank among households, 0 to 1
    start: Ints  # first and last DAY on which the household may shop
    end: Ints
    is_one_timer: Flags
    main_trips: Floats  # share of trips that stock up
    clusters: Ints  # households by 2: main and second taste
    devotion: Floats  # share of discoveries that follow the main taste
    stores: Ints  # households by 3, the home store first
    loyalty: Floats  # share of trips to the home store
    time_of_day: Ints  # 0 morning, 1 any time, 2 evening
    uses_coupons: Flags
    is_mailed: Flags  # gets campaigns at all
    gasoline: Floats  # share of small trips that are for gasoline
    has_demographics: Flags
    demographics: Ints  # households by DEMOGRAPHICS, positions in `demographic_names`


def make_traits(retailer: Retailer, keys: Ints, part: int) -> Traits:
    """Traits of a batch of households; `part` numbers the batch."""
    seed, stores = retailer.seed, retailer.stores
    rng = generator(seed, Purpose.TRAITS, part)
    many = keys.size
    first = keys == FIRST_HOUSEHOLD
    activity = np.where(first, 0.8, spread(keys, 0, seed))
    size = np.where(first, 0.5, spread(keys, 1, seed))
    lapse = np.where(first, 1.0, spread(keys, 2, seed))
    joining = np.where(first, 0.3, spread(keys, 3, seed))
    known = np.where(first, 0.0, spread(keys, 4, seed))

    mailed = np.where(first, 0.0, spread(keys, 5, seed))

    trips = np.interp(activity, _QUANTILES, _TRIPS_A_DAY)
    lines = np.interp(size, _QUANTILES, _LINES_A_TRIP) * (trips / 0.17) ** -0.12
    start = np.round(np.interp(joining, *_START)).astype(np.int64)
    one_timer = (rng.random(many) < _ONE_TIMERS) & ~first
    start = np.where(one_timer, rng.integers(1, DAYS - 20, many), start)
    end = np.maximum(np.round(np.interp(lapse, *_END)).astype(np.int64), start + 20)
    demographics = _demographics(rng, many)
    composition = demographics[:, 4]

    # Similar households have similar tastes: half of them take the taste of their kind.
    kind = (composition * 2 + (demographics[:, 0] >= _AGES.index("45-54"))) % CLUSTERS
    own = rng.integers(0, CLUSTERS, many)
    main = np.where(rng.random(many) < _LIKE_OTHERS, kind, own)
    second = (main + rng.integers(1, CLUSTERS, many)) % CLUSTERS
    home = np.searchsorted(stores.shoppers, rng.random((many, 3)), side="right")

    return Traits(
        part=part,
        key=keys,
        trips_a_day=np.round(trips, 6),
        lines_a_trip=np.round(lines, 6),
        activity=activity,
        start=start,
        end=np.minimum(end, DAYS),
        is_one_timer=one_timer,
        main_trips=np.round(rng.uniform(0.22, 0.5, many), 3),
        clusters=np.column_stack([main, second]),
        devotion=np.round(rng.uniform(0.45, 0.85, many), 3),
        stores=home,
        loyalty=np.round(rng.beta(9.0, 1.3, many), 3),
        time_of_day=rng.integers(0, 3, many),
        uses_coupons=(rng.random(many) < _COUPON_USERS) | first,
        is_mailed=mailed < 0.2 + 0.87 * activity,
        gasoline=np.where(
            rng.random(many) < _GASOLINE_BUYERS, np.round(rng.uniform(0.2, 0.9, many), 3), 0.0
        ),
        # The retailer knows its best customers better.
        has_demographics=known < 0.975 * activity**2,
        demographics=demographics,
    )


def demographic_names(position: int) -> tuple[str, ...]:
    """The values of `DEMOGRAPHICS[position]`."""
    kids = tuple(dict.fromkeys(_KIDS_BY_SIZE))
    return (_AGES, _MARITAL, _INCOMES, _HOMES, _COMPOSITIONS, _SIZES, kids)[position]


def _demographics(rng: np.random.Generator, many: int) -> Ints:
    age = _pick(rng, np.tile(_AGE_SHARES, (many, 1)))
    composition = _pick(rng, np.array(_COMPOSITION_SHARES)[age])
    income = _pick(rng, np.array(_INCOME_SHARES)[age])
    home = _pick(rng, np.tile(_HOME_SHARES, (many, 1)))
    marital = _pick(rng, np.array(_MARITAL_SHARES)[composition])
    size = _pick(rng, np.array(_SIZE_SHARES)[composition])
    # One adult with kids has one kid more than two adults in a home of the same size.
    alone = composition == _COMPOSITIONS.index("1 Adult Kids")
    names = demographic_names(6)
    by_size = np.array([names.index(kids) for kids in _KIDS_BY_SIZE])
    has_kids = np.isin(composition, _WITH_KIDS) | (size >= _SIZES.index("3"))
    grown = alone & (size >= _SIZES.index("3")) & (rng.random(many) < _MORE_KIDS)
    kids = np.where(has_kids, by_size[np.minimum(size + grown, len(_SIZES) - 1)], 0)
    return np.column_stack([age, marital, income, home, composition, size, kids])


def _pick(rng: np.random.Generator, shares: Floats) -> Ints:
    """One position per row of `shares`."""
    running = np.cumsum(shares, axis=1)
    draw = rng.random((len(shares), 1)) * running[:, -1:]
    picked: Ints = (draw >= running).sum(axis=1)
    return picked
