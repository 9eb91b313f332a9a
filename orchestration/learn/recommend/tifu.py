"""TIFU-kNN (Hu et al., SIGIR 2020), the baseline that must be beaten, and how it is tuned.

A customer's score of an item is `alpha` times its own decayed frequency plus the rest times the
mean of the nearest customers'. Settings that differ in `alpha` or in the number of neighbours share
vectors, distances and sums: all of a grid cost little more than one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from orchestration.learn.recommend.metrics import K, measure
from orchestration.learn.recommend.progress import Progress, untold
from orchestration.learn.recommend.ranking import best, best_items
from pollux.runtime.recommend.baskets import Baskets, Ints

CHUNK = 200


@dataclass(frozen=True)
class TifuParameters:
    """Parameters of TIFU-kNN, as named in the paper."""

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
Rankings = dict[TifuParameters, Ints]


def choose_tifu(history: Baskets, *, sample: int, progress: Progress = untold) -> TifuParameters:
    """The best of `TIFU_GRID` on the last baskets of the history, of at most `sample` customers."""
    before, targets = history.without_last(1), history.targets(0)
    customers = before.sample(sample)
    wanted = [targets[customer] for customer in customers]
    ranked = tifu_knn(before, K, TIFU_GRID, customers, progress)

    def value(parameters: TifuParameters) -> float:
        found = measure(ranked[parameters], wanted, K)
        return float(found.recall.mean() + found.ndcg.mean())

    return max(TIFU_GRID, key=value)


def tifu_knn(
    baskets: Baskets,
    k: int,
    settings: Sequence[TifuParameters],
    customers: Ints,
    progress: Progress = untold,
) -> Rankings:
    """The k best items under each setting: customers by k, -1 where there are fewer."""
    ranked = {one: np.empty((customers.size, k), dtype=np.int64) for one in settings}
    families: dict[tuple[int, float, float], list[TifuParameters]] = {}
    for one in settings:
        families.setdefault((one.groups, one.within_decay, one.group_decay), []).append(one)
    starts = range(0, customers.size, CHUNK)
    for number, family in enumerate(families.values()):
        vectors = tifu_vectors(baskets, family[0])
        for chunk, start in enumerate(starts):
            rows = slice(start, start + CHUNK)
            for one, found in _ranked_alike(vectors, customers[rows], k, family):
                ranked[one][rows] = found
            progress("TIFU-kNN", (number + (chunk + 1) / len(starts)) / len(families))
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


def _ranked_alike(
    vectors: sparse.csr_matrix, customers: Ints, k: int, family: Sequence[TifuParameters]
) -> Iterator[tuple[TifuParameters, Ints]]:
    """The k best items of customers by setting; all settings have these vectors."""
    own = vectors[customers]
    sizes = {one: min(one.neighbours, vectors.shape[0] - 1) for one in family}
    nearest = _nearest(vectors, customers, max(sizes.values()))
    rows = np.arange(customers.size)
    total, begin = sparse.csr_matrix(own.shape), 0
    for many in sorted(set(sizes.values())):
        added = nearest[:, begin:many]
        shape = (customers.size, vectors.shape[0])
        pick = sparse.csr_matrix(
            (np.ones(added.size), (np.repeat(rows, added.shape[1]), added.ravel())), shape
        )
        total, begin = total + pick @ vectors, many
        near = _contenders(total / many, own, k)
        for one in family:
            if sizes[one] == many:
                yield one, best_items((one.alpha * own + (1 - one.alpha) * near).tocsr(), k)


def _nearest(vectors: sparse.csr_matrix, customers: Ints, many: int) -> Ints:
    """Positions of the customers with the most similar vectors (Euclidean), the nearest first."""
    squares = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    # |a - b|² without |a|², which is the same for all b.
    distance = squares[None, :] - 2 * (vectors[customers] @ vectors.T).toarray()
    distance[np.arange(customers.size), customers] = np.inf
    nearest = np.sort(np.argpartition(distance, many - 1, axis=1)[:, :many], axis=1)
    order = np.argsort(np.take_along_axis(distance, nearest, axis=1), axis=1, kind="stable")
    ordered: Ints = np.take_along_axis(nearest, order, axis=1)
    return ordered


def _contenders(mean: sparse.csr_matrix, own: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """The neighbours' mean of the items that may be among the k best: own ones, and k others.

    Whatever `alpha` is, it leaves the order of the others as it is.
    """
    dense = mean.toarray()
    rows = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr))
    of_own = sparse.csr_matrix((dense[rows, own.indices], own.indices, own.indptr), own.shape)
    dense[rows, own.indices] = 0
    others = np.sort(best(dense, k), axis=1)
    values = np.take_along_axis(dense, others, axis=1)
    ends = np.arange(own.shape[0] + 1) * others.shape[1]
    return of_own + sparse.csr_matrix((values.ravel(), others.ravel(), ends), own.shape)
