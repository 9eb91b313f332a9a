"""Which coupons an order uses: the hidden model, its probabilities, and the lines that follow.

Belongs here: what makes the use of a coupon likely, and the lines bought with one. Does not belong
here: the coupons (`coupons`), lines without one (`orders`), and a customer's own readiness to use
one (`shoppers`).

A coupon can be used in an order where it is valid on the order's day and the order has lines in its
department. Whether it is used is one draw; all that the draw depends on is in `probability`.
"""

from dataclasses import dataclass

import numpy as np

from sample.chance import Flags, Floats, Ints, expand, generator
from sample.store.calendar import day_of_year
from sample.store.chance import Purpose
from sample.store.coupons import BUY_ALL, BUY_MORE, DEPARTMENT
from sample.store.orders import Lines, Orders, price_with
from sample.store.shop import Shop
from sample.store.shoppers import Shoppers
from sample.store.words import DEPARTMENTS

_BASE = -2.8
_TYPE = np.array([0.5, 0.5, 1.1, 0.5])  # in the order of TYPES
# The effect of twenty years: young people buy more of one thing, older people several things.
_OF_TYPE_BY_AGE = np.array([0.6, -0.7, 0.1, 0.0])
# By department, women and men.
_DEPARTMENT = np.array([[0.1, -0.2], [0.2, -0.4], [-0.3, 0.4], [0.0, 0.3], [0.4, -0.5]])
_MOST_DEPARTMENT_LINES = 3


@dataclass(frozen=True)
class Candidates:
    """Columns over pairs of an order and a coupon that it could use, by order and coupon."""

    order: Ints  # position of the order
    coupon: Ints
    probability: Floats
    used: Flags

    def take(self, rows: Ints) -> "Candidates":
        """These pairs only, in this order."""
        return Candidates(
            self.order[rows], self.coupon[rows], self.probability[rows], self.used[rows]
        )


def make_candidates(shop: Shop, shoppers: Shoppers, orders: Orders) -> Candidates:
    """Every pair of order and coupon of a batch, and whether the coupon was used."""
    rng = generator(shop.seed, Purpose.COUPON_USE, shoppers.part)
    order, department = np.nonzero(orders.departments)
    coupons = shop.coupons.valid[department, orders.day[order]]
    pair, slot = np.nonzero(coupons >= 0)
    order, coupon = order[pair], coupons[pair, slot]
    by_order = np.lexsort((coupon, order))
    order, coupon = order[by_order], coupon[by_order]
    chance = probability(shop, shoppers, orders.shopper[order], coupon, orders.day[order])
    return Candidates(
        order=order, coupon=coupon, probability=chance, used=rng.random(order.size) < chance
    )


def coupon_lines(shop: Shop, shoppers: Shoppers, orders: Orders, candidates: Candidates) -> Lines:
    """The lines of used coupons: as many as each asks for, all at its discount."""
    rng = generator(shop.seed, Purpose.COUPON_LINES, shoppers.part)
    coupons = shop.coupons
    used = np.flatnonzero(candidates.used)
    kind = coupons.kind[candidates.coupon[used]]
    some = rng.integers(1, _MOST_DEPARTMENT_LINES + 1, used.size)
    counts = np.where(kind == DEPARTMENT, some, coupons.how_many[candidates.coupon[used]])
    which, nth = expand(counts)
    order, coupon = candidates.order[used][which], candidates.coupon[used][which]
    shopper = orders.shopper[order]
    named = coupons.products[
        coupons.first_product[coupon] + np.where(kind[which] == BUY_ALL, nth, 0)
    ]
    liked = shop.catalogue.pick(
        coupons.department[coupon], shoppers.level[shopper], rng.random(order.size)
    )
    product = np.where(kind[which] == DEPARTMENT, liked, named)
    return Lines(
        order=order,
        product=product,
        coupon=coupon,
        paid=price_with(shop.catalogue.price[product], coupons.discount[coupon]),
    )


def probability(shop: Shop, shoppers: Shoppers, shopper: Ints, coupon: Ints, day: Ints) -> Floats:
    """How likely each shopper uses each coupon on a day of the window, to six places."""
    coupons = shop.coupons
    kind = coupons.kind[coupon]
    age = shoppers.age[shopper]
    discount = (coupons.discount[coupon] - 30) / 15
    # Customers who buy cheap look at the discount more.
    keenness = 0.95 - 0.07 * (shoppers.level[shopper] - 4)
    dearer = np.log(coupons.mean_price[coupon] / shoppers.usual_price[shopper])
    strange = np.where(dearer > 0, 1.5 * dearer, -0.7 * dearer)
    many = coupons.how_many[coupon] - 1
    logit = (
        _BASE
        + 1.3 * shoppers.deals[shopper]
        + keenness * discount
        + _TYPE[kind]
        + _OF_TYPE_BY_AGE[kind] * (age - 45) / 20
        + _DEPARTMENT[coupons.department[coupon], shoppers.is_male[shopper].astype(np.int64)]
        - np.where(kind == DEPARTMENT, 0.0, np.minimum(strange, 4.0))
        - np.where(kind == BUY_MORE, 0.35, 0.3) * np.where(many > 0, many, 0)
        + _season()[coupons.department[coupon], day]
    )
    chance: Floats = np.round(1 / (1 + np.exp(-logit)), 6)
    return chance


def _season() -> Floats:
    """Departments by days of the window: gifts in December, sport in summer; small on purpose."""
    of_year = day_of_year()
    gifts = 0.15 * np.exp(-0.5 * ((of_year - 348) / 14) ** 2)
    season = np.tile(gifts, (len(DEPARTMENTS), 1))
    season[DEPARTMENTS.index("Sport")] += 0.12 * np.cos((of_year - 190) / 365 * 2 * np.pi)
    return season
