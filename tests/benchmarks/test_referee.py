"""Cornac, an independent library, agrees with the recommender's metrics and baselines."""

import numpy as np
import pytest

from orchestration.learn.recommend.metrics import Quality
from pollux.runtime.recommend.baskets import Baskets, ordered_baskets

pytest.importorskip("cornac", reason="Cornac is not installed: uv pip install --group bench")

from benchmarks import referee

ITEMS = 60


@pytest.fixture(scope="module")
def baskets() -> Baskets:
    rng = np.random.default_rng(4)
    histories = []
    for _ in range(80):
        tastes = rng.choice(ITEMS, 20, replace=False)
        # Test baskets of 1 to 18 items: larger than the list, too.
        sizes = rng.integers(1, 19, rng.integers(3, 9))
        histories.append([rng.choice(tastes, size, replace=False).tolist() for size in sizes])
    return ordered_baskets(histories, ITEMS)


def test_cornac_agrees_on_metrics_and_on_two_baselines(baskets: Baskets) -> None:
    rows = referee.referee(baskets)
    targets = [row for row in rows if row["target"]]
    assert len(targets) == 3
    assert all(row["ok"] for row in targets), rows


def test_the_referee_sees_a_wrong_metric_and_a_wrong_baseline(baskets: Baskets) -> None:
    history, targets = baskets.without_last(1), baskets.targets(0)
    ranked = [list(range(10))] * history.customers
    found = referee.measure_by_cornac(ranked, targets)
    assert referee.largest_difference(found, found) == 0
    wrong = Quality(found.recall, found.ndcg + np.eye(1, history.customers)[0] * 1e-8)
    assert referee.largest_difference(found, wrong) > 1e-9
    for options in referee.MODELS.values():
        assert referee.rank_by_cornac(options, history, ranked)[1] < 0.5
