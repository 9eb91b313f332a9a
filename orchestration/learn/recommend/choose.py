"""Chooses hyperparameters by coordinate search on the last baskets of the given histories."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestration.learn.recommend.metrics import K, measure
from orchestration.learn.recommend.model import Model, Parameters, Parts, rank_all
from orchestration.learn.recommend.progress import Progress, untold
from pollux.runtime.recommend.baskets import Baskets

GRID: Mapping[str, Sequence[float]] = {
    "neighbour_weight": (0, 0.2, 0.4, 0.8, 1.6, 3.2),
    "popularity_weight": (0.03, 0.1, 0.3, 1.0),
    "neighbour_decay": (0.7, 0.9, 0.97),
    "neighbours": (100, 300),
    "popular_baskets": (1, 3),
    "prior": (2.0, 8.0, 20.0),
    "decay": (1.0, 0.99, 0.95),
}


def choose(
    baskets: Baskets, *, rounds: int = 2, sample: int, progress: Progress = untold
) -> Parameters:
    """The hyperparameters with the best recall@10 + NDCG@10 on the validation baskets.

    Measured on at most `sample` customers; of equally good values the first wins.
    """
    before, targets = baskets.without_last(1), baskets.targets(0)
    known = before.sample(sample)
    parts = Parts(before, known)

    def value(parameters: Parameters) -> float:
        ranked = rank_all(Model(parts, parameters), K, known)
        quality = measure(ranked, [targets[customer] for customer in known], K)
        return float(quality.recall.mean() + quality.ndcg.mean())

    chosen = Parameters()
    if known.size == 0:
        return chosen
    tried = {chosen: value(chosen)}
    steps = rounds * sum(map(len, GRID.values()))
    done = 0
    for _ in range(rounds):
        before_round = chosen
        for name, values in GRID.items():
            for tested in values:
                other = replace(chosen, **{name: tested})  # type: ignore[arg-type]
                if other not in tried:
                    tried[other] = value(other)
                if tried[other] > tried[chosen]:
                    chosen = other
                done += 1
                progress(f"{name} = {getattr(chosen, name)}: {tried[chosen]:.4f}", done / steps)
        if chosen == before_round:
            break
    return chosen
