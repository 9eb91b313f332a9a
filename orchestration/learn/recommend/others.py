"""What others say about a customer's next basket: neighbours, what follows on what, popularity.

Belongs here: sparse algebra over all customers. All three are shares of baskets, or scaled to a
sum of 1 per customer (transitions).
"""

import numpy as np
from scipy import sparse

from orchestration.learn.recommend.baskets import Baskets, Floats

CHUNK = 1000
TRANSITIONS_FROM = 5  # last baskets of the history that what follows is asked of
TRANSITION_DECAY = 0.7


def popularity(baskets: Baskets, latest: int) -> Floats:
    """Share of customers' last `latest` baskets that hold each item: what sells now."""
    recent = baskets.age < latest
    lines = recent[baskets.line_basket]
    many = np.bincount(baskets.line_item[lines], minlength=baskets.items)
    return many / max(int(recent.sum()), 1)


def neighbour_shares(baskets: Baskets, *, many: int, decay: float) -> sparse.csr_matrix:
    """Customers by items: share of the neighbours' baskets with the item, recent ones first.

    Neighbours are the `many` customers with the most alike purchases (cosine of log counts
    that weigh rare items more), each weighing as much as it is alike.
    """
    counts = baskets.weighted(decay)
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
    found = []
    for begin in range(0, baskets.customers, CHUNK):
        likeness = (alike[begin : begin + CHUNK] @ turned).toarray()
        rows = np.arange(likeness.shape[0])
        likeness[rows, rows + begin] = 0
        nearest = np.argpartition(-likeness, many - 1, axis=1)[:, :many]
        weight = np.take_along_axis(likeness, nearest, axis=1)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        shape = (likeness.shape[0], baskets.customers)
        pick = sparse.csr_matrix((weight.ravel(), (np.repeat(rows, many), nearest.ravel())), shape)
        found.append(pick @ shares)
    return sparse.vstack(found).tocsr()


def transition_shares(baskets: Baskets) -> sparse.csr_matrix:
    """Customers by items: what was bought next by all who bought what this one last bought."""
    shape = (baskets.owner.size, baskets.items)
    ones = np.ones(baskets.line_item.size, dtype=np.float32)
    holds = sparse.csr_matrix((ones, (baskets.line_basket, baskets.line_item)), shape)
    followed = np.flatnonzero(baskets.age > 0)
    pairs = (holds[followed].T @ holds[followed + 1]).tocsr()
    sold = np.maximum(np.bincount(baskets.line_item, minlength=baskets.items), 1)
    # Items that sell a lot follow on everything and are followed by everything.
    scaled = sparse.diags(sold**-0.5) @ pairs @ sparse.diags(sold**-0.3)
    lately = baskets.weighted(TRANSITION_DECAY, latest=TRANSITIONS_FROM)
    shares = (lately.astype(np.float32) @ scaled.tocsr().astype(np.float32)).tocsr()
    total = np.asarray(shares.sum(axis=1)).ravel()
    return (sparse.diags(1 / np.maximum(total, 1e-12)) @ shares).tocsr().astype(np.float32)


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sparse.diags(1 / np.maximum(length, 1e-12)) @ matrix).tocsr()
