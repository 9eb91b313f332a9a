"""The highest scores of each row, best first."""

import numpy as np
from scipy import sparse

from pollux.runtime.recommend.baskets import Floats, Ints

CHUNK = 500


def best(scores: Floats, k: int) -> Ints:
    """Positions of the k highest scores of each row, best first, ties by position."""
    k = min(k, scores.shape[1])
    least = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    found = np.empty((scores.shape[0], k), dtype=np.int64)
    for row, (values, bound) in enumerate(zip(scores, least, strict=True)):
        likely = np.flatnonzero(values >= bound)
        found[row] = likely[np.lexsort((likely, -values[likely]))[:k]]
    return found


def best_items(scores: sparse.csr_matrix, k: int) -> Ints:
    """The k items with the highest scores above 0 of each row, ties by item.

    Rows by k; -1 where a row has fewer. The indices of `scores` must be sorted.
    """
    found = np.full((scores.shape[0], k), -1, dtype=np.int64)
    for begin in range(0, scores.shape[0], CHUNK):
        part = scores[begin : begin + CHUNK]
        many = np.diff(part.indptr)
        if not part.nnz:
            continue
        row = np.repeat(np.arange(many.size), many)
        column = np.arange(part.nnz) - part.indptr[row]
        narrow = np.zeros((many.size, max(int(many.max()), k)))
        narrow[row, column] = part.data
        place = best(narrow, k)
        item = part.indices[np.minimum(part.indptr[:-1, None] + place, part.nnz - 1)]
        is_there = np.take_along_axis(narrow, place, axis=1) > 0
        found[begin : begin + CHUNK] = np.where(is_there, item, -1)
    return found
