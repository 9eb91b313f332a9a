"""The orders and the lines that customers came for, before any coupon.

Belongs here: when orders are placed, what is in them, and the shape of all lines. Does not belong
here: lines that a coupon brings (`coupon_use`), and how much a customer buys (`shoppers`).
"""

from dataclasses import dataclass

import numpy as np

from sample.chance import Flags, Ints, expand, generator
from sample.columns import NOTHING
from sample.store.calendar import DAYS, FIRST_DAY, demand
from sample.store.chance import Purpose
from sample.store.shop import Shop
from sample.store.shoppers import FAVOURITES, Shoppers
from sample.store.words import DEPARTMENTS

SECONDS_A_DAY = 86_400
_OPEN = (8, 21)  # hours; the last order of a day is before the second
_DEPARTMENTS_AN_ORDER = (0.55, 0.83, 0.95, 0.99)  # running shares of 1, 2, 3, 4; else all
_VARIETY = 2.5  # the shape of the gamma distribution of an order's size


@dataclass(frozen=True)
class Orders:
    """Columns over the orders of a batch, by customer and time."""

    shopper: Ints  # position in the batch
    day: Ints  # of the window, from 0
    second: Ints  # from 1970-01-01, a customer's all different
    departments: Flags  # orders by DEPARTMENTS: whether the order has lines there

    def first(self, many: int) -> "Orders":
        """The first so many orders."""
        return Orders(
            self.shopper[:many], self.day[:many], self.second[:many], self.departments[:many]
        )


@dataclass(frozen=True)
class Lines:
    """Columns over lines, by order."""

    order: Ints  # position of the order
    product: Ints
    coupon: Ints  # NOTHING without
    paid: Ints  # cents

    @staticmethod
    def join(parts: list["Lines"]) -> "Lines":
        """One after the other."""
        return Lines(
            order=np.concatenate([part.order for part in parts]),
            product=np.concatenate([part.product for part in parts]),
            coupon=np.concatenate([part.coupon for part in parts]),
            paid=np.concatenate([part.paid for part in parts]),
        )

    def take(self, rows: Ints) -> "Lines":
        """These lines only, in this order."""
        return Lines(self.order[rows], self.product[rows], self.coupon[rows], self.paid[rows])


def make_orders(shop: Shop, shoppers: Shoppers) -> tuple[Orders, Lines]:
    """The orders of a batch and their lines without coupons."""
    rng = generator(shop.seed, Purpose.ORDERS, shoppers.part)
    counts = np.maximum(np.round(shoppers.lines / shoppers.basket), 1).astype(np.int64)
    shopper, nth = expand(counts)
    day, second = _times(rng, shoppers, shopper)
    variety = np.round(rng.gamma(_VARIETY, 1 / _VARIETY, shopper.size), 6)
    sizes = 1 + rng.poisson((shoppers.basket[shopper] - 1) * variety)
    sizes = np.where(nth == 0, np.maximum(sizes, 2), sizes)
    kinds = 1 + np.searchsorted(_DEPARTMENTS_AN_ORDER, rng.random(shopper.size), side="right")
    kinds = np.minimum(kinds, sizes)
    # The highest of likings with Gumbel noise are draws without replacement.
    liking = shoppers.liking[shopper] + rng.gumbel(0.0, 1.0, (shopper.size, len(DEPARTMENTS)))
    ranked = np.argsort(-np.round(liking, 6), axis=1, kind="stable")
    departments = np.zeros(ranked.shape, np.bool_)
    np.put_along_axis(departments, ranked, np.arange(len(DEPARTMENTS)) < kinds[:, None], axis=1)
    orders = Orders(shopper=shopper, day=day, second=second, departments=departments)
    return orders, _lines(shop, shoppers, orders, sizes, kinds, ranked)


def _times(rng: np.random.Generator, shoppers: Shoppers, shopper: Ints) -> tuple[Ints, Ints]:
    """Days of the window and seconds of orders, rising within a customer."""
    running = np.cumsum(demand())
    before = np.concatenate([[0.0], running])[shoppers.start - FIRST_DAY][shopper]
    wanted = before + rng.random(shopper.size) * (running[-1] - before)
    day = np.minimum(np.searchsorted(running, wanted, side="right"), DAYS - 1)
    opening, closing = _OPEN
    of_day = opening * 3600 + np.floor(
        rng.beta(2.2, 1.6, shopper.size) * (closing - opening) * 3600
    ).astype(np.int64)
    second = (FIRST_DAY + day) * SECONDS_A_DAY + of_day
    second = second[np.lexsort((second, shopper))]
    # Two orders at one moment would have no order: the later ones move on by a second.
    place = np.arange(shopper.size)
    apart = shopper * (DAYS * SECONDS_A_DAY * 2)
    second = np.maximum.accumulate(second + apart - place) - apart + place
    return second // SECONDS_A_DAY - FIRST_DAY, second


def _lines(
    shop: Shop, shoppers: Shoppers, orders: Orders, sizes: Ints, kinds: Ints, ranked: Ints
) -> Lines:
    rng = generator(shop.seed, Purpose.LINES, shoppers.part)
    order, nth = expand(sizes)
    shopper = orders.shopper[order]
    # Every department of the order has a line; the best-liked get the rest more often.
    any_of = np.floor(rng.random(order.size) ** 1.5 * kinds[order]).astype(np.int64)
    department = ranked[order, np.where(nth < kinds[order], nth, any_of)]
    which = np.floor(rng.random(order.size) ** 2 * FAVOURITES).astype(np.int64)
    favourite = shoppers.favourites[shopper, department, which]
    other = shop.catalogue.pick(department, shoppers.level[shopper], rng.random(order.size))
    is_favourite = rng.random(order.size) < shoppers.loyalty[shopper]
    product = np.where(is_favourite, favourite, other)
    return Lines(
        order=order,
        product=product,
        coupon=np.full(order.size, NOTHING),
        paid=shop.catalogue.price[product],
    )


def price_with(price: Ints, discount: Ints) -> Ints:
    """A price in cents after a discount in percent, halves up."""
    left: Ints = (price * (100 - discount) + 50) // 100
    return left
