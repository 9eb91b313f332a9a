"""Evaluates recommender and baselines on the test baskets of a protocol, in one run.

The test basket is split off first; hyperparameters, ours and TIFU-kNN's, are chosen on the last
basket of what remains.
"""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from orchestration.learn.recommend import baselines
from orchestration.learn.recommend.baskets import Baskets, Ints
from orchestration.learn.recommend.choose import choose
from orchestration.learn.recommend.metrics import Interval, K, Quality, Ranked, interval, measure
from orchestration.learn.recommend.model import fit, rank_all

SAMPLE = 1500
TIFU_SAMPLE = 600  # customers; each of the 48 settings compares every customer with all others
OURS = "Pollux"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One method: means over all customers with intervals, and recall of repeat and new items.

    `repeat_recall` counts only items of the basket that the customer had bought before (over
    customers who have some), `new_recall` only the others. `gain_…` are our means minus this
    method's, paired by customer; None for our own row.
    """

    method: str
    recall: Interval
    ndcg: Interval
    repeat_recall: float
    new_recall: float
    gain_recall: Interval | None
    gain_ndcg: Interval | None


@dataclass(frozen=True)
class Evaluation:
    """All rows of a protocol, the hyperparameters chosen, and the time and memory used."""

    protocol: str
    customers: int
    items: int
    baskets: int
    rows: tuple[Row, ...]
    chosen: dict[str, Any]
    chosen_tifu: dict[str, Any]
    fit_seconds: float
    peak_mib: float


def evaluate(protocol: str, baskets: Baskets, say: Say = lambda _text: None) -> Evaluation:
    """Chooses on the validation baskets, refits with them, measures on each last basket."""
    history, targets = baskets.without_last(1), baskets.targets(0)
    parameters = choose(history, sample=SAMPLE, progress=say)
    started = time.monotonic()
    ours = rank_all(fit(history, parameters), K, np.arange(history.customers))
    seconds = time.monotonic() - started
    say("baselines")
    tifu = choose_tifu(history)
    ranked: dict[str, Ranked] = {
        "popularity": baselines.popular(history, K),
        "personal frequency": baselines.personal(history, K),
        "both combined": baselines.personal_then_popular(history, K),
        "both, ties by popularity": baselines.personal_then_popular_ties(history, K),
        "TIFU-kNN": baselines.tifu_knn(history, K, tifu),
        OURS: ours,
    }
    return Evaluation(
        protocol=protocol,
        customers=baskets.customers,
        items=baskets.items,
        baskets=int(baskets.owner.size),
        rows=compare(ranked, history, targets),
        chosen=asdict(parameters),
        chosen_tifu=asdict(tifu),
        fit_seconds=seconds,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def compare(
    ranked: dict[str, Ranked], history: Baskets, targets: Sequence[Ints]
) -> tuple[Row, ...]:
    """Measures every ranking; gains are those of `OURS` over each."""
    quality = {name: measure(lists, targets, K) for name, lists in ranked.items()}
    repeats, news = _split(history, targets)
    ours = quality[OURS]
    rows = []
    for name, found in quality.items():
        is_ours = name == OURS
        rows.append(
            Row(
                method=name,
                recall=interval(found.recall),
                ndcg=interval(found.ndcg),
                repeat_recall=_part(ranked[name], repeats),
                new_recall=_part(ranked[name], news),
                gain_recall=None if is_ours else interval(ours.recall - found.recall),
                gain_ndcg=None if is_ours else interval(ours.ndcg - found.ndcg),
            )
        )
    return tuple(rows)


def choose_tifu(history: Baskets, sample: int = TIFU_SAMPLE) -> baselines.TifuParameters:
    """The best of `TIFU_GRID` on the last baskets of the history."""
    before, targets = history.without_last(1), history.targets(0)
    customers = before.sample(sample)
    wanted = [targets[customer] for customer in customers]

    def value(parameters: baselines.TifuParameters) -> float:
        found: Quality = measure(baselines.tifu_knn(before, K, parameters, customers), wanted, K)
        return float(found.recall.mean() + found.ndcg.mean())

    return max(baselines.TIFU_GRID, key=value)


def _split(history: Baskets, targets: Sequence[Ints]) -> tuple[list[Ints], list[Ints]]:
    owner = history.owner[history.line_basket]
    bought = np.unique(owner * np.int64(history.items) + history.line_item)
    repeats, news = [], []
    for customer, target in enumerate(targets):
        wanted = target + customer * np.int64(history.items)
        place = np.minimum(np.searchsorted(bought, wanted), bought.size - 1)
        is_repeat = bought[place] == wanted
        repeats.append(target[is_repeat])
        news.append(target[~is_repeat])
    return repeats, news


def _part(ranked: Ranked, targets: Sequence[Ints]) -> float:
    asked = [customer for customer, target in enumerate(targets) if target.size]
    if not asked:
        return 0.0
    found = measure([ranked[c] for c in asked], [targets[c] for c in asked], K)
    return float(found.recall.mean())
