"""The quality of ranked items: recall and NDCG per customer, and intervals of their means."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pollux.runtime.recommend.baskets import Floats, Ints

# How many of the first items are measured.
K = 10
DRAWS = 1000

# Items by customer, best first: lists, or customers by ranks.
Ranked = Sequence[Sequence[int]] | Ints


@dataclass(frozen=True)
class Quality:
    """Recall and NDCG per customer."""

    recall: Floats
    ndcg: Floats


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def measure(ranked: Ranked, baskets: Sequence[Ints], k: int) -> Quality:
    """Compares the first k ranked items of each customer with its basket.

    Recall = hits ÷ basket size; NDCG = sum of 1 ÷ log2(rank + 1) over the hits ÷ the same
    sum over ranks 1 to the basket's size. Raises `ValueError` for an empty basket.
    """
    recall, ndcg = np.zeros(len(baskets)), np.zeros(len(baskets))
    longest = max((len(basket) for basket in baskets), default=0)
    gain = 1 / np.log2(np.arange(2, max(longest, k) + 2))
    ideal = np.cumsum(gain)
    for customer, basket in enumerate(baskets):
        wanted = {int(item) for item in basket}
        if not wanted:
            raise ValueError(f"customer {customer} has an empty basket")
        first = [int(item) for item in ranked[customer][:k]]
        hits = np.array([item in wanted for item in first], dtype=bool)
        recall[customer] = hits.sum() / len(wanted)
        ndcg[customer] = gain[: len(first)][hits].sum() / ideal[len(wanted) - 1]
    return Quality(recall, ndcg)


def interval(values: Floats, seed: int = 0) -> Interval:
    """The mean over customers, and its 95 % bootstrap interval; same seed, same customers drawn."""
    rng = np.random.default_rng(seed)
    draws = [float(values[rng.integers(0, values.size, values.size)].mean()) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))
