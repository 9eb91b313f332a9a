"""How likely customers are to buy an item again, from their own frequency and rhythm.

The table of rhythm is learned from all customers. The frequency of an item is the weight of
its purchases ÷ (baskets since its first one + a prior), so a single purchase in a short history
counts for little.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from pollux.runtime.recommend.baskets import Baskets, Floats, Ints

# Bins of purchases so far, and of time since the last one ÷ usual time between two (log2).
PURCHASES = np.array([2, 3, 4, 6, 9, 15, 25])
ELAPSED = np.array([-3, -2.5, -2, -1.5, -1.2, -0.9, -0.6, -0.3, 0, 0.3, 0.6, 1, 1.5, 2.2, 3])
CELLS = (PURCHASES.size + 1, ELAPSED.size + 1)
# An item bought once has no rhythm yet: it is assumed to be in every eighth basket.
BASKETS_AFTER_ONE = 8
LEARNED_FROM = 3  # last baskets of the history
PRIOR_PURCHASES = 3.0


@dataclass(frozen=True)
class Bought:
    """One row per customer and item bought, sorted by customer and item."""

    customer: Ints
    item: Ints
    purchases: Ints
    first: Floats
    last: Floats
    decayed: Floats  # weight of the purchases, each decayed by the age of its basket
    exposure: Floats  # baskets since the first purchase, decayed alike

    def of(self, begin: int, end: int) -> "Bought":
        """The rows of the customers from `begin` to before `end`, counted from `begin`."""
        first, last = np.searchsorted(self.customer, [begin, end])
        some = Bought(*(getattr(self, column.name)[first:last] for column in fields(self)))
        return replace(some, customer=some.customer - begin)

    @property
    def interval(self) -> Floats:
        """Mean time between purchases, 0 if there was only one."""
        return (self.last - self.first) / np.maximum(self.purchases - 1, 1)


def summarize(baskets: Baskets, decay: float = 1.0) -> Bought:
    """Counts purchases by customer and item."""
    basket = baskets.line_basket
    key = baskets.owner[basket] * np.int64(baskets.items) + baskets.line_item
    order = np.argsort(key, kind="stable")  # keeps the baskets of a key in order of time
    key, basket = key[order], basket[order]
    begin = np.flatnonzero(np.diff(key, prepend=-1))
    many = np.diff(begin, append=key.size)
    first, last = basket[begin], basket[begin + many - 1]
    age = baskets.age.astype(np.float64)
    weight = (decay**age * baskets.weight)[basket]
    since = age[first] + 1
    return Bought(
        customer=baskets.owner[first],
        item=key[begin] % baskets.items,
        purchases=many.astype(np.int64),
        first=baskets.time[first],
        last=baskets.time[last],
        decayed=np.add.reduceat(weight, begin) if key.size else np.zeros(0),
        exposure=since if decay == 1 else (1 - decay**since) / (1 - decay),
    )


def next_time(baskets: Baskets) -> Floats:
    """When each customer's next basket is expected: one usual gap after the last."""
    return baskets.last_time + baskets.gap


def frequency(bought: Bought, prior: float) -> Floats:
    """Mean weight of the item in baskets since it was first bought, reduced by the prior."""
    return bought.decayed / (bought.exposure + prior)


def rhythm_cell(bought: Bought, now: Floats, gap: Floats) -> Ints:
    """Cell of the table of rhythm (`CELLS`, row by row) that each row of `bought` falls in."""
    mine = gap[bought.customer]
    usual = np.where(bought.purchases > 1, bought.interval, mine * BASKETS_AFTER_ONE)
    elapsed = (now[bought.customer] - bought.last) / np.maximum(usual, mine / 4)
    column = np.digitize(np.log2(np.maximum(elapsed, 1e-6)), ELAPSED)
    cell: Ints = np.digitize(bought.purchases, PURCHASES) * CELLS[1] + column
    return cell


def learn_rhythm(baskets: Baskets, *, decay: float, prior: float) -> Floats:
    """By cell, the factor by which an item's chance of being bought differs from its frequency.

    Each of the last baskets of the given history is compared with those before it; cells with few
    cases stay near the mean.
    """
    cells = CELLS[0] * CELLS[1]
    happened, expected = np.zeros(cells), np.zeros(cells)
    for age in range(LEARNED_FROM):
        before = baskets.without_last(age + 1)
        bought = summarize(before, decay)
        there = baskets.counts[bought.customer] > age + 1
        cell = rhythm_cell(bought, next_time(before), before.gap)
        chance = frequency(bought, prior)
        weight = _weight_in(bought, baskets, age)
        happened += np.bincount(cell[there], weights=weight[there], minlength=cells)
        expected += np.bincount(cell[there], weights=chance[there], minlength=cells)
    mean = happened.sum() / expected.sum() if expected.sum() > 0 else 1.0
    return (happened + PRIOR_PURCHASES * mean) / (expected + PRIOR_PURCHASES)


def personal_scores(
    baskets: Baskets, rhythm: Floats, *, decay: float, prior: float
) -> tuple[Bought, Floats]:
    """What each customer bought, and each row's score: its expected weight in the next basket."""
    bought = summarize(baskets, decay)
    cell = rhythm_cell(bought, next_time(baskets), baskets.gap)
    return bought, frequency(bought, prior) * rhythm[cell]


def _weight_in(bought: Bought, baskets: Baskets, age: int) -> Floats:
    """Weight of each item in its customer's basket of this age, 0 where it is not in it."""
    lines = baskets.age[baskets.line_basket] == age
    basket = baskets.line_basket[lines]
    wanted = baskets.owner[basket] * np.int64(baskets.items) + baskets.line_item[lines]
    key = bought.customer * np.int64(baskets.items) + bought.item
    weight = np.zeros(baskets.customers)
    weight[baskets.owner[basket]] = baskets.weight[basket]
    return np.where(np.isin(key, wanted), weight[bought.customer], 0.0)
