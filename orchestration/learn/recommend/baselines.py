"""The simple baselines of the recommender: popularity, personal frequency, both.

All are as published; `tifu` has TIFU-kNN. Of items with equal frequency the one bought first wins,
as in the published figures; in `personal_then_popular_ties` the more popular one does.
"""

from collections import Counter

import numpy as np

from pollux.runtime.recommend.baskets import Baskets, Ints


def popular(baskets: Baskets, k: int) -> list[list[int]]:
    """The k items in most baskets, the same for every customer."""
    first = _by_popularity(baskets)[:k].tolist()
    return [first] * baskets.customers


def personal(baskets: Baskets, k: int) -> list[list[int]]:
    """Each customer's own items by frequency; fewer than k if the customer bought fewer."""
    return [
        [item for item, _ in Counter(items.tolist()).most_common(k)] for items in _items_of(baskets)
    ]


def personal_then_popular(baskets: Baskets, k: int) -> list[list[int]]:
    """Own items by frequency, then the popular ones."""
    fill = _by_popularity(baskets).tolist()
    ranked = []
    for own in personal(baskets, k):
        mine = set(own)
        more = (item for item in fill if item not in mine)
        ranked.append(own + [next(more) for _ in range(min(k, baskets.items) - len(own))])
    return ranked


def personal_then_popular_ties(baskets: Baskets, k: int) -> list[list[int]]:
    """Own items by frequency, ties by popularity, then the popular ones."""
    order = _by_popularity(baskets)
    place = np.empty(baskets.items, dtype=np.int64)
    place[order] = np.arange(baskets.items)
    ranked = []
    fill = order.tolist()
    for items in _items_of(baskets):
        counts = Counter(items.tolist())
        own = sorted(counts, key=lambda item: (-counts[item], place[item]))[:k]
        more = (item for item in fill if item not in counts)
        ranked.append(own + [next(more) for _ in range(min(k, baskets.items) - len(own))])
    return ranked


def _items_of(baskets: Baskets) -> list[Ints]:
    owner = baskets.owner[baskets.line_basket]
    many = np.bincount(owner, minlength=baskets.customers)
    return np.split(baskets.line_item, np.cumsum(many)[:-1])


def _by_popularity(baskets: Baskets) -> Ints:
    sold = np.bincount(baskets.line_item, minlength=baskets.items)
    order: Ints = np.argsort(-sold, kind="stable")
    return order
