"""Evaluates recommender and baselines on the test baskets of a protocol, in one run.

The test basket is split off first; hyperparameters, ours and TIFU-kNN's, are chosen on the last
basket of what remains.
"""

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from orchestration.learn.recommend import baselines
from orchestration.learn.recommend.choose import choose
from orchestration.learn.recommend.metrics import Interval, K, Quality, Ranked, interval, measure
from orchestration.learn.recommend.model import fit, rank_all
from orchestration.learn.recommend.progress import Progress, part_of, untold
from orchestration.learn.recommend.protocols import Histories
from orchestration.learn.recommend.tifu import choose_tifu, tifu_knn
from pollux.runtime.recommend.baskets import Baskets, Ints

OURS = "Pollux"


@dataclass(frozen=True)
class Effort:
    """On how many customers hyperparameters are chosen, and in how many rounds ours are."""

    customers: int
    tifu_customers: int
    rounds: int


FULL = Effort(customers=1500, tifu_customers=600, rounds=2)
QUICK = Effort(customers=600, tifu_customers=300, rounds=1)


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
    """All rows of a protocol, the hyperparameters chosen, and the time and memory used.

    `by_customer` has a row per customer and method: customer, method, items of the test basket,
    hits (those of them that were recommended), recall, ndcg.
    """

    protocol: str
    customers: int
    items: int
    baskets: int
    is_quick: bool
    rows: tuple[Row, ...]
    chosen: dict[str, Any]
    chosen_tifu: dict[str, Any]
    fit_seconds: float
    peak_mib: float
    by_customer: pa.Table


def evaluate(
    protocol: str, histories: Histories, effort: Effort = FULL, progress: Progress = untold
) -> Evaluation:
    """Chooses on the validation baskets, refits with them, measures on each last basket."""
    baskets = histories.baskets
    history, targets = baskets.without_last(1), baskets.targets(0)
    parameters = choose(
        history,
        rounds=effort.rounds,
        sample=effort.customers,
        progress=part_of(progress, 0.0, 0.5),
    )
    tifu = choose_tifu(history, sample=effort.tifu_customers, progress=part_of(progress, 0.5, 0.8))
    everybody = np.arange(history.customers)
    started = time.monotonic()
    ours = rank_all(fit(history, parameters), K, everybody)
    seconds = time.monotonic() - started
    theirs = tifu_knn(history, K, [tifu], everybody, part_of(progress, 0.85, 0.9))
    progress("measuring", 0.9)
    ranked: dict[str, Ranked] = {
        "popularity": baselines.popular(history, K),
        "personal frequency": baselines.personal(history, K),
        "both combined": baselines.personal_then_popular(history, K),
        "both, ties by popularity": baselines.personal_then_popular_ties(history, K),
        "TIFU-kNN": theirs[tifu],
        OURS: ours,
    }
    quality = {name: measure(lists, targets, K) for name, lists in ranked.items()}
    return Evaluation(
        protocol=protocol,
        customers=baskets.customers,
        items=baskets.items,
        baskets=int(baskets.owner.size),
        is_quick=effort == QUICK,
        rows=compare(ranked, quality, history, targets),
        chosen=asdict(parameters),
        chosen_tifu=asdict(tifu),
        fit_seconds=seconds,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        by_customer=_by_customer(histories, quality, targets),
    )


def compare(
    ranked: Mapping[str, Ranked],
    quality: Mapping[str, Quality],
    history: Baskets,
    targets: Sequence[Ints],
) -> tuple[Row, ...]:
    """A row for every ranking and its quality; gains are those of `OURS` over each."""
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


def _by_customer(
    histories: Histories, quality: Mapping[str, Quality], targets: Sequence[Ints]
) -> pa.Table:
    items = np.array([target.size for target in targets])
    parts = [
        pa.table(
            {
                "customer": histories.customers.tolist(),
                "method": [name] * items.size,
                "items": items,
                "hits": np.rint(found.recall * items).astype(np.int64),
                "recall": found.recall,
                "ndcg": found.ndcg,
            }
        )
        for name, found in quality.items()
    ]
    return pa.concat_tables(parts)


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
