"""What other customers' baskets say about a next basket: neighbours and popularity.

Both are an item's mean weight in baskets (`Baskets.weight`).
"""

import numpy as np
from scipy import sparse

from pollux.runtime.recommend.baskets import Baskets, Floats, Ints

CHUNK = 1000
KEPT = 500  # items per customer, the neighbours' most frequent


def weighted(baskets: Baskets, decay: float) -> sparse.csr_matrix:
    """Customers by items: the weight of purchases, each decayed by the age of its basket."""
    weights = (decay ** baskets.age.astype(np.float64) * baskets.weight)[baskets.line_basket]
    places = baskets.owner[baskets.line_basket], baskets.line_item
    return sparse.csr_matrix((weights, places), (baskets.customers, baskets.items))


def popularity(baskets: Baskets, latest: int) -> Floats:
    """Mean weight of each item in customers' last `latest` baskets."""
    recent = baskets.age < latest
    lines = recent[baskets.line_basket]
    weight = baskets.weight[baskets.line_basket[lines]]
    total = np.bincount(baskets.line_item[lines], weights=weight, minlength=baskets.items)
    return total / max(int(recent.sum()), 1)


def neighbour_shares(
    baskets: Baskets, customers: Ints, *, many: int, decay: float
) -> sparse.csr_matrix:
    """Customers by items: the item's mean weight in neighbours' baskets; recent ones weigh more.

    Only the rows of the given `customers`, which ascend, are filled.

    Neighbours are the `many` customers with the most similar purchases (cosine of log weights,
    with rare items weighing more), each weighted by its similarity.
    """
    counts = weighted(baskets, decay)
    holders = np.bincount(counts.indices, minlength=baskets.items)
    rarity = np.log(baskets.customers / np.maximum(holders, 1))
    alike = counts.copy()
    alike.data = np.log1p(alike.data)
    alike = _unit_rows(alike.multiply(rarity[None, :]).tocsr()).astype(np.float32)
    turned = alike.T.tocsr()
    exposure = np.bincount(
        baskets.owner, weights=decay ** baskets.age.astype(np.float64), minlength=baskets.customers
    )
    shares = (sparse.diags(1 / np.maximum(exposure, 1e-12)) @ counts).tocsr().astype(np.float32)
    many = min(many, baskets.customers - 1)
    if many < 1:
        return sparse.csr_matrix((baskets.customers, baskets.items), dtype=np.float32)
    columns, values = [], []
    for begin in range(0, customers.size, CHUNK):
        chunk = customers[begin : begin + CHUNK]
        likeness = (alike[chunk] @ turned).toarray()
        likeness[np.arange(chunk.size), chunk] = 0
        nearest = np.sort(np.argpartition(-likeness, many - 1, axis=1)[:, :many], axis=1)
        weight = np.take_along_axis(likeness, nearest, axis=1)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        for neighbours, weights in zip(nearest, weight, strict=True):
            # A customer at a time: the product of two sparse matrices takes three times as long.
            said = shares[neighbours].T @ weights
            column = _highest(said, KEPT)
            columns.append(column)
            values.append(said[column])
    sizes = np.zeros(baskets.customers, dtype=np.int64)
    sizes[customers] = [column.size for column in columns]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    parts = (np.concatenate(values), np.concatenate(columns), ends)
    return sparse.csr_matrix(parts, (baskets.customers, baskets.items))


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.maximum(length, 1e-12)) @ matrix).tocsr()


def _highest(values: Floats, many: int) -> Ints:
    """Places of the highest values above 0, ascending."""
    place = np.flatnonzero(values > 0)
    if place.size > many:
        place = np.sort(place[np.argpartition(-values[place], many - 1)[:many]])
    return place
