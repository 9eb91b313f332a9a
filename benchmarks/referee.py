"""An independent referee: Cornac measures the recommender's lists, and ranks by two baselines.

`uv pip install --group bench` installs Cornac. Its TIFU-kNN is no referee: its neighbours add one
number to all items alike.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
from cornac.data import BasketDataset
from cornac.metrics import NDCG, Recall
from cornac.models import GPTop

from benchmarks.measuring import Figures, figure
from orchestration.learn.recommend import baselines
from orchestration.learn.recommend.metrics import K, Quality, Ranked, measure
from orchestration.learn.recommend.model import Parameters, fit, rank_all
from orchestration.learn.recommend.tifu import TifuParameters, tifu_knn
from pollux.runtime.recommend.baskets import Baskets, Ints

# Cornac adds popularity as a fraction, in 32 bits.
PRECISION = 1e-4


def referee(baskets: Baskets) -> Figures:
    """Compares metrics and two baselines on the last baskets."""
    history, targets = baskets.without_last(1), baskets.targets(0)
    everybody, tifu = np.arange(history.customers), TifuParameters()
    ours: dict[str, Ranked] = {
        "personal frequency": baselines.personal(history, K),
        "both, ties by popularity": baselines.personal_then_popular_ties(history, K),
        "popularity": baselines.popular(history, K),
        "TIFU-kNN": tifu_knn(history, K, [tifu], everybody)[tifu],
        "Pollux": rank_all(fit(history, Parameters()), K, everybody),
    }
    quality = {name: measure(lists, targets, K) for name, lists in ours.items()}
    largest = max(
        largest_difference(quality[name], measure_by_cornac(lists, targets))
        for name, lists in ours.items()
    )
    rows = [figure("largest difference of Cornac's recall or NDCG", largest, "", at_most=1e-9)]
    for name, model in MODELS.items():
        theirs, is_best = rank_by_cornac(model, history, ours[name])
        found = measure_by_cornac(theirs, targets)
        rows += [
            figure(
                f"{name}, lists that are best by Cornac's scores", 100 * is_best, "%", at_least=100
            ),
            figure(f"{name}, recall@{K}", quality[name].recall.mean(), ""),
            figure(f"{name}, recall@{K} with Cornac's ties", found.recall.mean(), ""),
        ]
    return rows


MODELS: Mapping[str, Mapping[str, bool]] = {
    "personal frequency": {"use_global_popularity": False},
    "both, ties by popularity": {},
}


def measure_by_cornac(ranked: Ranked, targets: Sequence[Ints]) -> Quality:
    """Cornac's measures of each customer's first `K` items; the ideal is the whole basket."""
    recall, ndcg = Recall(k=K), NDCG(k=-1)
    lists = [np.array([item for item in items if item >= 0][:K], dtype=int) for items in ranked]
    pairs = list(zip(targets, lists, strict=True))
    return Quality(
        recall=np.array([recall.compute(gt_pos=target, pd_rank=found) for target, found in pairs]),
        ndcg=np.array([ndcg.compute(gt_pos=target, pd_rank=found) for target, found in pairs]),
    )


def largest_difference(one: Quality, other: Quality) -> float:
    """The largest difference of a customer's recall or NDCG."""
    return float(max(np.abs(one.recall - other.recall).max(), np.abs(one.ndcg - other.ndcg).max()))


def rank_by_cornac(
    options: Mapping[str, bool], history: Baskets, ours: Ranked
) -> tuple[list[Ints], float]:
    """Cornac's lists, and the share of our lists that no list beats by Cornac's scores."""
    owner = history.owner[history.line_basket]
    lines = zip(
        owner.tolist(), history.line_basket.tolist(), history.line_item.tolist(), strict=True
    )
    items = OrderedDict((item, item) for item in range(history.items))
    data = BasketDataset.build(
        list(lines),
        global_uid_map=OrderedDict(),
        global_bid_map=OrderedDict(),
        global_iid_map=items,
    )
    model = GPTop(**options).fit(data)
    of_basket = np.split(history.line_item, np.flatnonzero(np.diff(history.line_basket)) + 1)
    found, best = [], 0
    for customer in range(history.customers):
        start = int(history.starts[customer])
        bought = [one.tolist() for one in of_basket[start : start + int(history.counts[customer])]]
        ranked, scores = model.rank(customer, history_baskets=bought, k=K)
        found.append(ranked[:K][scores[ranked[:K]] > 0])
        mine = scores[[item for item in ours[customer] if item >= 0]]
        wanted = scores[found[-1]]
        best += mine.size >= wanted.size and np.allclose(
            mine[: wanted.size], wanted, atol=PRECISION
        )
    return found, best / history.customers
