"""The customers: who they are, what they like, how much they buy and how they take to coupons.

Belongs here: what stays the same for a customer. It depends on the customer's id and the seed, not
on how many customers there are.
"""

from dataclasses import dataclass

import numpy as np

from sample.chance import Flags, Floats, Ints, generator, spread
from sample.store.calendar import FIRST_DAY, LAST_DAY
from sample.store.catalogue import LEVELS
from sample.store.chance import Purpose
from sample.store.shop import Shop
from sample.store.words import DEPARTMENTS

FIRST_CUSTOMER = 1
FAVOURITES = 40  # per customer and department

# Lines per customer before those that coupons add.
_QUANTILES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0)
_LINES = (1.0, 80.0, 220.0, 570.0, 1230.0, 2360.0, 3950.0, 6200.0, 10_500.0)
_BASKET = (9.0, 15.0)
_FEMALE = 0.56
_OLDEST_SHARES = (0.0, 0.25, 0.6, 0.85, 1.0)
_AGES = (18, 30, 45, 62, 85)
_NEWCOMERS = 0.25  # of the customers are newcomers after the window begins
# Liking of Boys, Girls, Men, Sport, Women by men and by women, as logarithms.
_LIKING = ((-0.2, -0.5, 1.1, 0.4, -0.6), (0.0, 0.3, -0.3, 0.0, 1.2))
_PARENTS = (38.0, 11.0, 0.9)  # age of most parents of children, years around it, liking
_DEALS_HIDDEN = 0.85  # deviation that age and gender do not explain


@dataclass(frozen=True)
class Shoppers:
    """Columns over the customers of batch `part`, by customer id."""

    part: int
    customer_id: Ints
    is_male: Flags
    age: Ints
    lines: Floats  # expected, before those that coupons add
    basket: Floats  # lines of a usual order
    start: Ints  # first day on which the customer may order
    liking: Floats  # customers by DEPARTMENTS
    level: Ints  # price level, 0 to LEVELS - 1
    usual_price: Floats  # mean price of what the customer picks
    loyalty: Floats  # share of lines that are favourites
    deals: Floats  # readiness to use a coupon, about 0 on average
    favourites: Ints  # customers by DEPARTMENTS by FAVOURITES: products


def make_shoppers(shop: Shop, ids: Ints, part: int) -> Shoppers:
    """The customers of a batch; `part` numbers the batch."""
    rng = generator(shop.seed, Purpose.SHOPPERS, part)
    many = ids.size
    is_male = rng.random(many) >= _FEMALE
    age = np.floor(np.interp(rng.random(many), _OLDEST_SHARES, _AGES)).astype(np.int64)
    lines = np.interp(spread(ids, 0, shop.seed), _QUANTILES, _LINES)
    basket: Floats = np.minimum(rng.uniform(*_BASKET, many), np.maximum(lines / 3, 2.0))
    late = rng.random(many) < _NEWCOMERS
    # Newcomers come in the first two thirds, so that each can form a habit.
    start = FIRST_DAY + np.where(late, rng.integers(0, (LAST_DAY - FIRST_DAY) * 2 // 3, many), 0)

    years, width, more = _PARENTS
    parent = more * np.exp(-0.5 * ((age - years) / width) ** 2)
    liking = np.array(_LIKING)[(~is_male).astype(np.int64)] + rng.normal(0.0, 0.6, (many, 5))
    liking[:, DEPARTMENTS.index("Boys")] += parent
    liking[:, DEPARTMENTS.index("Girls")] += parent
    liking[:, DEPARTMENTS.index("Sport")] += np.where(age < 35, 0.5, -0.2)  # noqa: PLR2004
    wealth = 0.5 + 0.012 * (age - 45) + 0.15 * rng.standard_normal(many)
    level = np.floor((wealth * 0.35 + rng.random(many) * 0.65) * LEVELS).astype(np.int64)
    level = np.clip(level, 0, LEVELS - 1)

    shares = np.exp(liking) / np.exp(liking).sum(axis=1, keepdims=True)
    usual = (shares * shop.catalogue.usual_price[:, level].T).sum(axis=1)
    hidden = _DEALS_HIDDEN * rng.standard_normal(many)
    deals = hidden + np.where(is_male, -0.2, 0.15) + 0.012 * (age - 44) - 0.12 * (level - 4)
    return Shoppers(
        part=part,
        customer_id=ids,
        is_male=is_male,
        age=age,
        lines=lines,
        basket=np.round(basket, 6),
        start=start,
        liking=np.round(liking, 6),
        level=level,
        usual_price=np.round(usual, 4),
        loyalty=np.round(rng.uniform(0.35, 0.8, many), 4),
        deals=np.round(deals, 6),
        favourites=_favourites(shop, level, part),
    )


def _favourites(shop: Shop, level: Ints, part: int) -> Ints:
    rng = generator(shop.seed, Purpose.FAVOURITES, part)
    shape = (level.size, len(DEPARTMENTS), FAVOURITES)
    department = np.broadcast_to(np.arange(len(DEPARTMENTS))[None, :, None], shape)
    levels = np.broadcast_to(level[:, None, None], shape)
    return shop.catalogue.pick(department, levels, rng.random(shape))
