"""The forest predicts what LightGBM does, bit for bit, or refuses a model."""

from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pytest

from pollux import forest
from pollux.forest import UnusualModelError, read_forest

COLUMNS = 8
CATEGORIES = (0, 1)
# What the rows of a group have in common.
SHARED = (0, 2, 3)
TREES = 12

Rows = npt.NDArray[np.float32]


def rows_of(rng: np.random.Generator, many: int, missing: float) -> Rows:
    rows = rng.normal(size=(many, COLUMNS)).astype(np.float32)
    rows[:, 4] = rng.integers(-2, 3, many)
    rows[:, 5] = rng.choice([0, 1e-36, -1e-36, 1e-30, 7], many)
    for column, categories in zip(CATEGORIES, (3, 70), strict=True):
        rows[:, column] = rng.integers(0, categories, many)
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows


def trained(missing: float = 0.1, **more: Any) -> tuple[lgb.Booster, str]:
    rng = np.random.default_rng(1)
    rows = rows_of(rng, 2_000, missing)
    known = np.nan_to_num(rows)
    odds = known[:, 2] * known[:, 4] + (known[:, 1] % 3 == 1) + known[:, 5] - (known[:, 0] == 2)
    used = rng.random(len(rows)) < 1 / (1 + np.exp(-odds))
    parameters = {
        "objective": "binary",
        "num_leaves": 31,
        "min_data_in_leaf": 5,
        "min_data_per_group": 5,
        "num_threads": 1,
        "verbose": -1,
    } | more
    data = lgb.Dataset(rows, used.astype(int), categorical_feature=list(CATEGORIES))
    text = lgb.train(parameters, data, TREES).model_to_string()
    return lgb.Booster(model_str=text), text


def unlike_training(many: int) -> Rows:
    """Rows as they may come: categories and numbers that the model has never seen."""
    rng = np.random.default_rng(2)
    rows = rows_of(rng, many, 0.2)
    rows[:, 1] += 40
    rows[rng.random(rows.shape) < 0.02] = np.inf
    rows[rng.random(rows.shape) < 0.02] = -np.inf
    rows[:, CATEGORIES] = np.where(np.isinf(rows[:, CATEGORIES]), 500, rows[:, CATEGORIES])
    return rows


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"missing": 0.0},
        {"use_missing": False},
        # Small trees of different sizes.
        {"min_gain_to_split": 30.0},
        {"num_leaves": 2},
        {"max_cat_to_onehot": 100},
    ],
)
@pytest.mark.parametrize("rows_at_once", [forest.ROWS_AT_ONCE, 7])
def test_the_sums_are_those_of_lightgbm(
    parameters: dict[str, Any], rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest, "ROWS_AT_ONCE", rows_at_once)
    booster, text = trained(**parameters)
    rows = unlike_training(1_500)
    expected = booster.predict(rows, raw_score=True, num_threads=1)
    read = read_forest(text)
    assert len(set(expected)) > 1
    assert read.predict(rows).tolist() == expected.tolist()
    alone = [read.predict(rows[number : number + 1]).item() for number in range(20)]
    assert alone == expected[:20].tolist()


def test_what_rows_have_in_common_is_looked_up_once() -> None:
    booster, text = trained()
    sizes = [1, 20, 3, 1_200, 2]
    rows = unlike_training(sum(sizes))
    firsts = np.cumsum([0, *sizes[:-1]])
    for column in SHARED:
        rows[:, column] = np.repeat(rows[firsts, column], sizes)
    found = read_forest(text).predict(rows, shared=SHARED, sizes=sizes)
    assert found.tolist() == booster.predict(rows, raw_score=True, num_threads=1).tolist()
    # It does not look at any other row of a group.
    rows[20, SHARED] = np.nan
    assert read_forest(text).predict(rows, shared=SHARED, sizes=sizes).tolist() == found.tolist()


def test_no_rows_have_no_sums() -> None:
    _, text = trained()
    assert read_forest(text).predict(np.empty((0, COLUMNS), dtype=np.float32)).tolist() == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_leaves": 63},
        {"objective": "multiclass", "num_class": 2},
        {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"linear_tree": True},
        {"zero_as_missing": True},
        # No tree has a split.
        {"min_gain_to_split": 1e9},
    ],
)
def test_unusual_models_are_refused(parameters: dict[str, Any]) -> None:
    _, text = trained(**parameters)
    with pytest.raises(UnusualModelError):
        read_forest(text)


def test_another_version_of_the_format_is_refused() -> None:
    _, text = trained()
    with pytest.raises(UnusualModelError, match="another version"):
        read_forest(text.replace("version=v4", "version=v5"))
