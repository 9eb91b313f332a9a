"""The baselines of the recommender: popularity, personal frequency, both, TIFU-kNN.

All are as published. Of items with equal frequency the one bought first wins, as in the published
figures; in `personal_then_popular_ties` the more popular one does.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from orchestration.learn.recommend.baskets import Baskets, Floats, Ints
from orchestration.learn.recommend.model import best

CHUNK = 500


@dataclass(frozen=True)
class TifuParameters:
    """Parameters of TIFU-kNN, as named in the paper (Hu et al., SIGIR 2020)."""

    groups: int = 7
    within_decay: float = 0.9
    group_decay: float = 0.7
    neighbours: int = 300
    alpha: float = 0.7


TIFU_GRID = tuple(
    TifuParameters(groups, within, group, neighbours, alpha)
    # As published, and with slower decay, which suits histories of a hundred baskets.
    for groups, within, group in ((7, 0.9, 0.7), (3, 0.9, 0.6), (7, 1.0, 0.9), (7, 1.0, 1.0))
    for neighbours in (100, 300, 900)
    for alpha in (0.2, 0.5, 0.7, 0.9)
)


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


def tifu_vectors(baskets: Baskets, parameters: TifuParameters) -> sparse.csr_matrix:
    """Customers by items: baskets decayed within groups of equal size, and groups decayed."""
    count = baskets.counts[baskets.owner]
    size = -(-count // np.minimum(parameters.groups, count))
    group = baskets.age // size  # from the end, 0 is the latest
    groups = -(-count // size)
    members = np.where(group == groups - 1, count - group * size, size)
    weight = parameters.within_decay ** (baskets.age % size) / members
    weight = weight * parameters.group_decay**group / groups
    line = baskets.line_basket
    return sparse.csr_matrix(
        (weight[line], (baskets.owner[line], baskets.line_item)),
        (baskets.customers, baskets.items),
    )


def tifu_knn(
    baskets: Baskets, k: int, parameters: TifuParameters, customers: Ints | None = None
) -> Ints:
    """TIFU-kNN: weighted sum of a customer's vector and the mean of the nearest (Euclidean)."""
    vectors = tifu_vectors(baskets, parameters).astype(np.float32)
    asked = np.arange(baskets.customers) if customers is None else customers
    chunks = [best(scores, k) for scores in _tifu_scores(vectors, asked, parameters)]
    return np.vstack(chunks)


def _tifu_scores(
    vectors: sparse.csr_matrix, asked: Ints, parameters: TifuParameters
) -> Iterator[Floats]:
    squares = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    many = min(parameters.neighbours, vectors.shape[0] - 1)
    turned = vectors.T.tocsr()
    for begin in range(0, asked.size, CHUNK):
        chunk = asked[begin : begin + CHUNK]
        # |a - b|² without |a|², which is the same for all b.
        distance = squares[None, :] - 2 * (vectors[chunk] @ turned).toarray()
        rows = np.arange(chunk.size)
        distance[rows, chunk] = np.inf
        nearest = np.argpartition(distance, many - 1, axis=1)[:, :many]
        share = np.full(nearest.size, 1 / many, dtype=np.float32)
        shape = (chunk.size, vectors.shape[0])
        pick = sparse.csr_matrix((share, (np.repeat(rows, many), nearest.ravel())), shape)
        scores = parameters.alpha * vectors[chunk] + (1 - parameters.alpha) * (pick @ vectors)
        yield scores.toarray()


def _items_of(baskets: Baskets) -> list[Ints]:
    owner = baskets.owner[baskets.line_basket]
    many = np.bincount(owner, minlength=baskets.customers)
    return np.split(baskets.line_item, np.cumsum(many)[:-1])


def _by_popularity(baskets: Baskets) -> Ints:
    sold = np.bincount(baskets.line_item, minlength=baskets.items)
    order: Ints = np.argsort(-sold, kind="stable")
    return order
