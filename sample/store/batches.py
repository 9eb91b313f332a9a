"""Customers are made in batches, so that numpy has columns to work on.

Belongs here: how a batch is put together, how many customers a scale has, and order ids. Does not
belong here: its parts (`shoppers`, `orders`, `coupon_use`), and what all batches share (`shop`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sample.chance import Ints
from sample.store.coupon_use import Candidates, coupon_lines, make_candidates
from sample.store.orders import Lines, Orders, make_orders
from sample.store.shop import Shop
from sample.store.shoppers import FIRST_CUSTOMER, Shoppers, make_shoppers

CUSTOMERS = 1000  # at scale 1
BATCH = 100  # customers made together, always in full, so that their number changes none of them


@dataclass(frozen=True)
class Batch:
    """What some neighbouring customers did; positions of orders start at 0 in each batch."""

    shoppers: Shoppers
    orders: Orders
    lines: Lines  # by order
    candidates: Candidates
    first_order: int  # id of the order at position 0
    customers: int  # how many of the batch there are

    @property
    def order_id(self) -> Ints:
        """Ids of the orders, in their order."""
        return self.first_order + np.arange(self.orders.shopper.size)


def make_batches(shop: Shop, scale: float) -> Iterator[Batch]:
    """The customers of a shop, batch by batch; at least one customer."""
    customers = max(round(CUSTOMERS * scale), 1)
    first_order = 1
    for part in range(math.ceil(customers / BATCH)):
        batch = make_batch(shop, part, first_order, min(customers - part * BATCH, BATCH))
        first_order += batch.orders.shopper.size
        yield batch


def make_batch(shop: Shop, part: int, first_order: int, customers: int) -> Batch:
    """The first so many customers of batch `part`."""
    ids = FIRST_CUSTOMER + part * BATCH + np.arange(BATCH)
    shoppers = make_shoppers(shop, ids, part)
    orders, wanted = make_orders(shop, shoppers)
    candidates = make_candidates(shop, shoppers, orders)
    lines = Lines.join([wanted, coupon_lines(shop, shoppers, orders, candidates)])
    lines = lines.take(np.argsort(lines.order, kind="stable"))
    # Orders are by customer, so the orders of the first customers are the first orders.
    many = int((orders.shopper < customers).sum())
    return Batch(
        shoppers=shoppers,
        orders=orders.first(many),
        lines=lines.take(np.flatnonzero(lines.order < many)),
        candidates=candidates.take(np.flatnonzero(candidates.order < many)),
        first_order=first_order,
        customers=customers,
    )
