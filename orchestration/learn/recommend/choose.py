"""Chooses hyperparameters by coordinate search on the last baskets of the given histories."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from orchestration.learn.recommend.baskets import Baskets
from orchestration.learn.recommend.metrics import measure
from orchestration.learn.recommend.model import Model, Parameters, Parts, rank_all

K = 10
Grid = Mapping[str, Sequence[float]]

GRID: Grid = {
    "neighbour_weight": (0, 0.2, 0.4, 0.8, 1.6, 3.2),
    "popularity_weight": (0.03, 0.1, 0.3, 1.0),
    "neighbour_decay": (0.7, 0.9, 0.97),
    "neighbours": (100, 300),
    "popular_baskets": (1, 3),
    "prior": (2.0, 8.0, 20.0),
    "decay": (1.0, 0.99, 0.95),
}


def choose(
    baskets: Baskets,
    grid: Grid = GRID,
    *,
    start: Parameters | None = None,
    rounds: int = 2,
    sample: int = 3000,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _text: None,
) -> tuple[Parameters, float]:
    """The best hyperparameters found, and recall@10 + NDCG@10 on the validation baskets.

    Measured on at most `sample` customers drawn by `seed`; of equally good values the first wins.
    """
    parts = Parts(baskets.without_last(1))
    targets = baskets.targets(0)
    known = np.flatnonzero(parts.baskets.counts > 0)
    rng = np.random.default_rng(seed)
    if known.size > sample:
        known = np.sort(rng.choice(known, sample, replace=False))

    def value(parameters: Parameters) -> float:
        ranked = rank_all(Model(parts, parameters), K, known)
        quality = measure(ranked, [targets[customer] for customer in known], K)
        return float(quality.recall.mean() + quality.ndcg.mean())

    chosen = start or Parameters()
    if known.size == 0:
        return chosen, 0.0
    tried = {chosen: value(chosen)}
    for _ in range(rounds):
        before = chosen
        for name, values in grid.items():
            for tested in values:
                other = replace(chosen, **{name: tested})  # type: ignore[arg-type]
                if other not in tried:
                    tried[other] = value(other)
                if tried[other] > tried[chosen]:
                    chosen = other
            progress(f"{name} = {getattr(chosen, name)}: {tried[chosen]:.4f}")
        if chosen == before:
            break
    return chosen, tried[chosen]
