"""Candidates for customers' next baskets: own items, the neighbours', and popular ones."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from pollux.runtime.recommend.baskets import Floats, Ints

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """Items with scores, each once for a customer.

    `is_by_neighbours` where neighbours count for more than popularity.
    """

    item: Ints
    score: Floats
    is_own: Flags
    is_by_neighbours: Flags

    def at(self, places: Ints | Flags) -> "Candidates":
        """Some of them."""
        return Candidates(*(getattr(self, column.name)[places] for column in fields(self)))

    @classmethod
    def joined(cls, some: Sequence["Candidates"]) -> "Candidates":
        """All of these, one after the other."""
        return cls(
            *(np.concatenate([getattr(one, column.name) for one in some]) for column in fields(cls))
        )


@dataclass(frozen=True)
class Scored:
    """Scores of some items of several customers, by customer and item, each once."""

    customer: Ints
    item: Ints
    score: npt.NDArray[np.floating]


def candidates(
    own: Scored, others: Scored, popularity: Floats, popular_first: Ints, customers: int, k: int
) -> tuple[Ints, Candidates]:
    """Items with the sums of their scores, and whose each is; in any order.

    Among them are each customer's k best own and k best new ones. `own` and `others` are what the
    customers' purchases and their neighbours say of items; `popularity` has a value per item,
    `popular_first` items by it.
    """
    place, is_said = _places(others, own, popularity.size)
    by_others = np.zeros(own.item.size)
    by_others[is_said] = others.score[place[is_said]]
    mine = Candidates(
        item=own.item,
        score=popularity[own.item] + by_others + own.score,
        is_own=np.ones(own.item.size, dtype=bool),
        is_by_neighbours=by_others > popularity[own.item],
    )
    is_new = np.ones(others.item.size, dtype=bool)
    is_new[place[is_said]] = False
    customer, item, said = others.customer[is_new], others.item[is_new], others.score[is_new]
    score = popularity[item] + said
    best = score >= _least(customer, score, customers, k)[customer]
    customer, item, said = customer[best], item[best], said[best]
    theirs = _new(item, score[best], said > popularity[item])
    buyer, popular = _popular((own, others), popular_first, popularity.size, customers, k)
    known = _new(popular, popularity[popular], np.zeros(popular.size, dtype=bool))
    owner = np.concatenate([own.customer, customer, buyer])
    return owner, Candidates.joined([mine, theirs, known])


def _new(item: Ints, score: Floats, is_by_neighbours: Flags) -> Candidates:
    return Candidates(item, score, np.zeros(item.size, dtype=bool), is_by_neighbours)


def _places(listed: Scored, wanted: Scored, items: int) -> tuple[Ints, Flags]:
    """Where in a list each wanted item of a customer is, and whether it is there."""
    keys = listed.customer * items + listed.item
    sought = wanted.customer * items + wanted.item
    place = np.searchsorted(keys, sought)
    is_there = place < keys.size
    is_there[is_there] = keys[place[is_there]] == sought[is_there]
    return place, is_there


def _least(customer: Ints, score: Floats, customers: int, k: int) -> Floats:
    """The k-th best score of each customer, less than any where there are fewer."""
    many = np.bincount(customer, minlength=customers)
    table = np.full((customers, max(k, int(many.max(initial=0)))), -np.inf)
    table[customer, np.arange(customer.size) - (np.cumsum(many) - many)[customer]] = score
    least: Floats = np.partition(table, -k, axis=1)[:, -k]
    return least


def _popular(
    scored: Sequence[Scored], popular_first: Ints, items: int, customers: int, k: int
) -> tuple[Ints, Ints]:
    """The k most popular of the items that have no other score, and for which customer."""
    many = sum(np.bincount(one.customer, minlength=customers) for one in scored)
    popular = popular_first[: k + int(np.max(many, initial=0))]
    rank = np.full(items, popular.size)
    rank[popular] = np.arange(popular.size)
    is_free = np.ones((customers, popular.size + 1), dtype=bool)
    for one in scored:
        is_free[one.customer, rank[one.item]] = False
    is_free[:, -1] = False
    customer, place = np.nonzero(is_free & (np.cumsum(is_free, axis=1) <= k))
    return customer, popular[place]
