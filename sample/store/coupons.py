"""The coupons: for the time of the orders, for two days long ago, and for the years that follow.

Belongs here: type, discount, products and validity of each. Does not belong here: who uses them,
and when (`coupon_use`).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sample.chance import Floats, Ints, generator
from sample.columns import day
from sample.store.calendar import DAYS, FIRST_DAY, LAST_DAY
from sample.store.catalogue import Catalogue
from sample.store.chance import Purpose
from sample.store.words import DEPARTMENTS

TYPES = ("buy_all", "buy_more", "department", "just_discount")
BUY_ALL, BUY_MORE, DEPARTMENT, JUST_DISCOUNT = range(len(TYPES))
ANY_NUMBER = -1  # of products: what department coupons ask for

# Days that consumers of the shop's events name; each has a coupon of every department and type.
EXAMPLE_DAYS = (day("2010-01-01"), day("2021-03-18"))
# After the orders, half-yearly coupons for later requests.
LATER_UNTIL = day("2035-12-31")

# Each department's coupons follow one another in lanes. The gapless lanes give the least number
# valid on a day; the lanes with gaps add to it.
_GAPLESS_LANES = 3
_GAPPY_LANES = 5
MOST_VALID = _GAPLESS_LANES + _GAPPY_LANES
_DAYS_VALID = (7, 61)
_GAP = (7, 61)
_TYPE_SHARES = (0.3, 0.29, 0.1, 0.31)
_MANY = (2, 6)  # products of buy_all, items of buy_more
# Percent: the least, and how many there are. A whole department is never far reduced: otherwise no
# other coupon could compete.
_DISCOUNT, _DISCOUNT_OF_DEPARTMENT = (5, 66), (5, 26)
_DISCOUNT_SHAPE = (1.5, 2.4)  # the two parameters of a beta distribution


@dataclass(frozen=True)
class Coupons:
    """Columns over coupons, by start; coupon id is the position + 1."""

    kind: Ints  # position in TYPES
    department: Ints
    discount: Ints  # percent
    how_many: Ints
    start: Ints  # first and last day of validity, from 1970-01-01
    end: Ints
    many_products: Ints
    first_product: Ints  # where each coupon's products start in `products`
    products: Ints
    mean_price: Floats  # of the products, to whole cents
    valid: Ints  # departments by DAYS by MOST_VALID: coupons of a day of the window, then -1s


@dataclass(frozen=True)
class _Plan:
    department: int
    kind: int
    start: int
    end: int


def make_coupons(seed: int, catalogue: Catalogue) -> Coupons:
    """The coupons of a seed."""
    rng = generator(seed, Purpose.COUPONS)
    plans = sorted(
        [*_around_examples(rng), *_in_the_window(rng), *_later()],
        key=lambda plan: (plan.start, plan.end, plan.department, plan.kind),
    )
    kind = np.array([plan.kind for plan in plans])
    department = np.array([plan.department for plan in plans])
    start = np.array([plan.start for plan in plans])
    end = np.array([plan.end for plan in plans])
    many = rng.integers(*_MANY, len(plans))
    high = np.round(rng.beta(*_DISCOUNT_SHAPE, len(plans)), 6)
    discount = np.where(
        kind == DEPARTMENT, _percent(high, *_DISCOUNT_OF_DEPARTMENT), _percent(high, *_DISCOUNT)
    )
    products = [
        _products(rng, catalogue, plan, wanted)
        for plan, wanted in zip(plans, many.tolist(), strict=True)
    ]
    sizes = np.array([part.size for part in products])
    every = np.concatenate(products)
    first = np.cumsum(sizes) - sizes
    how_many = np.select(
        [kind == DEPARTMENT, kind == JUST_DISCOUNT], [np.full_like(many, ANY_NUMBER), 1], many
    )
    return Coupons(
        kind=kind,
        department=department,
        discount=discount,
        how_many=how_many,
        start=start,
        end=end,
        many_products=sizes,
        first_product=first,
        products=every,
        mean_price=np.round(np.add.reduceat(catalogue.price[every], first) / sizes) / 100,
        valid=_valid(department, start, end),
    )


def _percent(high: Floats, least: int, many: int) -> Ints:
    """Whole percents from `least` on, `many` of them, as high as draws from [0, 1]."""
    percent: Ints = least + np.minimum(np.floor(many * high), many - 1).astype(np.int64)
    return percent


def _in_the_window(rng: np.random.Generator) -> list[_Plan]:
    plans = []
    kinds = len(TYPES)
    for department in range(len(DEPARTMENTS)):
        for lane in range(MOST_VALID):
            start = FIRST_DAY - int(rng.integers(0, _DAYS_VALID[1]))
            while start <= LAST_DAY:
                end = start + int(rng.integers(*_DAYS_VALID)) - 1
                kind = int(rng.choice(kinds, p=_TYPE_SHARES))
                if end >= FIRST_DAY:
                    plans.append(_Plan(department, kind, start, end))
                start = end + 1 + (int(rng.integers(*_GAP)) if lane >= _GAPLESS_LANES else 0)
    return plans


def _around_examples(rng: np.random.Generator) -> list[_Plan]:
    return [
        _Plan(department, kind, when - int(rng.integers(0, 7)), when + int(rng.integers(0, 30)))
        for when in EXAMPLE_DAYS
        for department in range(len(DEPARTMENTS))
        for kind in range(len(TYPES))
    ]


def _later() -> list[_Plan]:
    starts = np.arange(
        np.datetime64(LAST_DAY + 1, "D").astype("datetime64[M]"),
        np.datetime64(LATER_UNTIL + 1, "D").astype("datetime64[M]") + 6,
        6,
    )
    days = starts.astype("datetime64[D]").astype(np.int64).tolist()
    return [
        _Plan(department, kind, start, after - 1)
        for start, after in pairwise(days)
        for department in range(len(DEPARTMENTS))
        for kind in range(len(TYPES))
    ]


def _products(rng: np.random.Generator, catalogue: Catalogue, plan: _Plan, many: int) -> Ints:
    sold = np.flatnonzero(catalogue.department == plan.department)
    if plan.kind == DEPARTMENT:
        return sold
    wanted = many if plan.kind == BUY_ALL else 1
    weights = catalogue.popularity[sold]
    chosen = rng.choice(sold, wanted, replace=False, p=weights / weights.sum())
    return np.sort(chosen)


def _valid(department: Ints, start: Ints, end: Ints) -> Ints:
    valid = np.full((len(DEPARTMENTS), DAYS, MOST_VALID), -1)
    filled = np.zeros((len(DEPARTMENTS), DAYS), np.int64)
    inside = (end >= FIRST_DAY) & (start <= LAST_DAY)
    for coupon in np.flatnonzero(inside).tolist():
        which = department[coupon]
        first = max(int(start[coupon]) - FIRST_DAY, 0)
        last = min(int(end[coupon]), LAST_DAY) - FIRST_DAY
        days = np.arange(first, last + 1)
        valid[which, days, filled[which, days]] = coupon
        filled[which, days] += 1
    return valid
