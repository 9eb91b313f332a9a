"""Coupon propensity: pairs only use the past, and an altered model is refused."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.learn.propensity import training
from orchestration.learn.propensity.card import Card
from orchestration.learn.propensity.errors import LearnError
from orchestration.learn.propensity.measures import (
    average_precision,
    bins_of,
    log_loss,
    measure,
    roc_auc,
)
from orchestration.learn.propensity.pairs import Pairs, read_pairs
from orchestration.transform.record import BuildRecord, write_record
from pollux import propensity
from pollux.propensity import CATEGORICAL, FEATURES, INPUTS, Calibration, ModelError
from pollux.runtime.settings import Settings
from tests.support.histories import (
    START,
    History,
    Order,
    as_of,
    open_random,
    open_sample,
    random_history,
    random_line,
    valid_coupons,
)

PROBABILITIES = [0.0, 0.2, 0.25, 0.5, 0.9, 1.0]
SEEDS = st.integers(min_value=0, max_value=10**6)


@pytest.fixture(scope="module")
def pairs(store_files: Path) -> Iterator[Pairs]:
    with open_sample(store_files) as history:
        yield read_pairs(history)


@pytest.fixture(scope="module")
def trained(trained_store: tuple[Settings, Card]) -> tuple[Path, Card]:
    return propensity.models_dir(trained_store[0]), trained_store[1]


def rows_of(history: History) -> list[dict[str, object]]:
    with open_random(history) as connection:
        return list(read_pairs(connection).table.to_pylist())


@settings(max_examples=10)
@given(seed=SEEDS)
def test_pairs_are_those_counted_by_hand(seed: int) -> None:
    history = random_history(random.Random(seed))
    rows = rows_of(history)
    expected = {
        (order.order_id, coupon): order
        for order in history.orders
        for coupon in valid_coupons(history, order)
    }
    assert {(row["order_id"], row["coupon_id"]) for row in rows} == expected.keys()
    assert len(rows) == len(expected)
    used = {(line.order_id, line.coupon_id) for line in history.order_lines}
    people = {customer: (gender, age) for customer, gender, age in history.customers}
    for row in rows:
        order = expected[row["order_id"], row["coupon_id"]]
        known = as_of(history, order.customer_id, order.ordered_at)
        assert {name: row[name] for name in known} == pytest.approx(dict(known), abs=1e-9)
        assert row["is_used"] == ((order.order_id, row["coupon_id"]) in used)
        assert (row["gender"], row["age"]) == people.get(order.customer_id, (None, None))


@settings(max_examples=15)
@given(seed=SEEDS)
def test_no_order_from_a_moment_on_changes_a_pair_before_it(seed: int) -> None:
    rng = random.Random(seed)
    history = random_history(rng)
    moment = rng.choice(history.orders).ordered_at
    later = {order.order_id for order in history.orders if order.ordered_at >= moment}

    def changed(order: Order) -> Order:
        return order._replace(
            customer_id=rng.randint(1, 3), ordered_at=moment + timedelta(hours=rng.randint(0, 99))
        )

    orders = [changed(one) if one.order_id in later else one for one in history.orders]
    orders = [one for one in orders if one.order_id not in later or rng.random() < 0.8]
    orders.append(Order(99, rng.randint(1, 3), moment))
    lines = [line for line in history.order_lines if line.order_id not in later]
    lines += [random_line(rng, number) for number in [*later, 99] for _ in range(3)]
    rng.shuffle(lines)
    other = history._replace(orders=orders, order_lines=lines)

    def before(rows: list[dict[str, object]]) -> list[dict[str, object]]:
        return [row for row in rows if row["ordered_at"] < moment]

    assert before(rows_of(other)) == before(rows_of(history))


@pytest.mark.parametrize(
    ("days", "age"),
    [(0, 30), (182, 30), (183, 29), (547, 29), (548, 28), (365 * 29, 1), (365 * 40, 0)],
)
def test_a_customer_was_younger_on_the_day_of_an_earlier_order(days: int, age: int) -> None:
    history = random_history(random.Random(1))
    line = random_line(random.Random(2), 1)._replace(product_id=1)
    coupon = history.coupons[0]
    orders = [
        Order(number, customer, START + timedelta(days=days * is_last, hours=is_last))
        for number, (customer, is_last) in enumerate([(1, 0), (2, 0), (1, 1)])
    ]
    lines = [line._replace(order_id=number) for number in range(3)]
    valid = (START.date() - timedelta(days=1), START.date() + timedelta(days=1))
    coupons = [(*coupon[:2], "Women", *coupon[3:5], *valid, *coupon[7:])]
    rows = rows_of(history._replace(orders=orders, order_lines=lines, coupons=coupons))
    assert {row["customer_id"]: row["age"] for row in rows if row["ordered_at"] == START} == {
        1: age,
        2: None,
    }


def test_orders_of_one_moment_do_not_know_each_other() -> None:
    history = random_history(random.Random(1))
    first = START + timedelta(days=5)
    lines = [random_line(random.Random(2), number)._replace(product_id=1) for number in (1, 2)]
    coupons = [(*history.coupons[0][:2], "Women", *history.coupons[0][3:])]
    orders = [Order(1, 1, first), Order(2, 1, first), Order(3, 1, first + timedelta(seconds=1))]
    lines.append(random_line(random.Random(3), 3)._replace(product_id=1))
    rows = rows_of(history._replace(orders=orders, order_lines=lines, coupons=coupons))
    assert [row["total_items_bought"] for row in rows] == [0, 0, 2]
    assert [row["unique_products_bought"] for row in rows] == [0, 0, 1]


def test_derived_features() -> None:
    inputs = {name: [1.0, 1.0, 1.0] for name in INPUTS} | {
        "mean_buy_price": [20.0, np.nan, 0.0],
        "total_coupons_used": [4.0, 0.0, 0.0],
        "mean_discount_received": [3.0, np.nan, 1.0],
        "unique_products_bought": [6.0, 0.0, 1.0],
        "unique_products_bought_with_coupons": [2.0, 0.0, 0.0],
        "total_items_bought": [8.0, 0.0, 2.0],
        "product_mean_price": [10.0, 10.0, np.nan],
    }
    found = propensity.encode(inputs)
    assert found.shape == (3, len(FEATURES))
    derived = {name: found[:, FEATURES.index(name)].tolist() for name in propensity.DERIVED}
    assert derived["coupons_per_item"] == [0.5, 0, 0]
    assert derived["discount_per_coupon"] == [6, pytest.approx(np.nan, nan_ok=True), 2]
    assert derived["unique_products_per_item"] == [0.75, 0, 0.5]
    assert derived["unique_products_per_coupon"] == [0.5, 0, 0]
    assert derived["log_price_ratio"][0] == pytest.approx(log(0.5))
    assert np.isnan(derived["log_price_ratio"][1:]).all()


def test_categories_that_the_model_does_not_know_have_no_number() -> None:
    known = {"department": ["Boys", "Sport"], "gender": ["F"], "coupon_type": []}
    assert propensity.category_code("department", "Sports", known) == 1
    assert propensity.category_code("department", "Boys", known) == 0
    for name, text in (("department", "Garden"), ("gender", None), ("coupon_type", "gift")):
        assert np.isnan(propensity.category_code(name, text, known))


@settings(max_examples=100)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.sampled_from(PROBABILITIES)), min_size=2).filter(
        lambda rows: len({happened for happened, _ in rows}) == 2
    )
)
def test_measures_are_those_counted_by_hand(rows: list[tuple[bool, float]]) -> None:
    happened = np.array([row[0] for row in rows])
    predicted = np.array([row[1] for row in rows])
    yes, no = predicted[happened], predicted[~happened]
    wins = sum((one > other) + (one == other) / 2 for one in yes for other in no)
    assert roc_auc(happened, predicted) == pytest.approx(wins / (len(yes) * len(no)))
    precision = 0.0
    recall_before = 0.0
    for threshold in sorted(set(predicted), reverse=True):
        hits = (yes >= threshold).sum()
        precision += hits / (predicted >= threshold).sum() * (hits / len(yes) - recall_before)
        recall_before = hits / len(yes)
    assert average_precision(happened, predicted) == pytest.approx(precision)
    order = random.Random(1).sample(range(len(rows)), len(rows))
    assert bins_of(happened[order], predicted[order]) == bins_of(happened, predicted)
    bins = bins_of(happened, predicted)
    assert sum(one.pairs for one in bins) == len(rows)
    assert sum(one.pairs * one.happened for one in bins) == pytest.approx(happened.sum())
    assert all(above.predicted > below.predicted for above, below in pairwise(bins))


def test_measures_by_hand() -> None:
    happened = np.array([True, False, True, False])
    predicted = np.array([0.9, 0.8, 0.7, 0.1])
    found = measure(happened, predicted)
    assert found.pr_auc == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert found.roc_auc == 0.75
    assert found.log_loss == pytest.approx(-(log(0.9) + log(0.2) + log(0.7) + log(0.9)) / 4)
    assert found.calibration_error == pytest.approx((0.1 + 0.8 + 0.3 + 0.1) / 4)
    assert [one.lift for one in found.bins] == [2, 0, 2, 0]


def test_calibration_mends_what_is_too_sure() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(-2, 1.5, 20_000)
    happened = rng.random(true.size) < 1 / (1 + np.exp(-true))
    too_sure = 2 * true + 1
    found = training.calibrate(too_sure, happened)
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.5), abs=0.05)
    assert log_loss(happened, found.apply(too_sure)) < log_loss(
        happened, Calibration().apply(too_sure)
    )


def test_windows_follow_each_other_by_whole_days(pairs: Pairs) -> None:
    split = training.split_by_time(pairs.ordered_at)
    days = pairs.ordered_at.astype("datetime64[D]")
    assert (np.diff(pairs.ordered_at) >= np.timedelta64(0)).all()
    for start in (split.validation_from, split.test_from):
        assert days[start - 1] < days[start]
    span = (days[-1] - days[0]).astype(int)
    test_days = (days[-1] - days[split.test_from]).astype(int)
    assert test_days / span == pytest.approx(1 / 6, abs=0.01)


def test_the_same_data_and_seed_give_the_same_model(
    trained: tuple[Path, Card], store_files: Path, tmp_path: Path
) -> None:
    root, card = trained
    with open_sample(store_files) as history:
        history.execute("set threads = 3")
        again = training.train_on(
            Settings(data_dir=tmp_path), read_pairs(history), data="again", seed=1
        )
    assert again.id == card.id
    other = propensity.models_dir(Settings(data_dir=tmp_path))
    for name in (propensity.MODEL_FILE, propensity.DESCRIPTION_FILE, training.PREDICTIONS_FILE):
        assert (other / again.id / name).read_bytes() == (root / card.id / name).read_bytes(), name


def test_a_model_beats_both_baselines_and_says_so(trained: tuple[Path, Card]) -> None:
    root, card = trained
    assert card.is_promoted
    assert not card.reasons
    assert propensity.current_id(root) == card.id
    test = card.test
    for baseline in (training.PREVALENCE, training.PAST_RATE):
        assert test["model"].pr_auc > 1.5 * test[baseline].pr_auc
        assert test["model"].log_loss < test[baseline].log_loss
    window = card.windows["test"]
    assert test[training.PREVALENCE].pr_auc == pytest.approx(window.used / window.pairs)
    assert card.windows["train"].last_day < card.windows["validation"].first_day
    assert card.windows["validation"].last_day < window.first_day
    assert sum(feature.importance for feature in card.features) == pytest.approx(1)
    assert card.uses == card.uses_in_pairs
    folder = root / card.id
    assert Card.read(folder / "card.json") == card
    text = (folder / "card.md").read_text()
    for word in (card.id, "PR-AUC", training.PAST_RATE, "lift", "coupons_per_item"):
        assert word in text
    for plot in ("evaluation.png", "importances.png"):
        assert (folder / plot).read_bytes().startswith(b"\x89PNG")


def test_the_past_rate_knows_nothing_of_the_test_window(pairs: Pairs) -> None:
    split = training.split_by_time(pairs.ordered_at)
    rates = training.past_rates(pairs.table, pairs.is_used, split.test_from)
    changed = pairs.is_used.copy()
    changed[split.test] = True
    assert (training.past_rates(pairs.table, changed, split.test_from) == rates).all()
    past = pairs.table.slice(0, split.test_from).group_by(["coupon_type", "department"])
    row = past.aggregate([("is_used", "sum"), ("is_used", "count")]).to_pylist()[0]
    mask = np.array(
        [
            (kind, department) == (row["coupon_type"], row["department"])
            for kind, department in zip(
                pairs.table["coupon_type"].to_pylist(),
                pairs.table["department"].to_pylist(),
                strict=True,
            )
        ]
    )
    assert np.allclose(rates[mask], row["is_used_sum"] / row["is_used_count"])


def with_labels(pairs: Pairs, labels: np.ndarray) -> Pairs:
    place = pairs.table.column_names.index("is_used")
    return replace(pairs, table=pairs.table.set_column(place, "is_used", pa.array(labels)))


def test_a_model_that_does_not_beat_the_baselines_is_not_promoted(
    pairs: Pairs, tmp_path: Path
) -> None:
    window = training.split_by_time(pairs.ordered_at).validation
    labels = pairs.is_used.copy()
    # In the validation window customers do the opposite of what the past tells.
    labels[window] = ~labels[window]
    here = Settings(data_dir=tmp_path)
    good = training.train_on(here, pairs, data="before", seed=1)
    bad = training.train_on(here, with_labels(pairs, labels), data="after", seed=2)
    assert not bad.is_promoted
    assert any("PR-AUC" in reason for reason in bad.reasons)
    assert bad.replaces == good.id
    assert propensity.current_id(propensity.models_dir(here)) == good.id
    assert propensity.read_current(propensity.models_dir(here)).id == good.id


def test_the_test_window_reports_and_decides_nothing(
    trained_store: tuple[Settings, Card], pairs: Pairs, tmp_path: Path
) -> None:
    window = training.split_by_time(pairs.ordered_at).test
    labels = pairs.is_used.copy()
    labels[window] = ~labels[window]
    card = training.train_on(
        Settings(data_dir=tmp_path), with_labels(pairs, labels), data="sample", seed=1
    )
    usual = trained_store[1]
    assert (card.id, card.is_promoted) == (usual.id, True)
    assert card.validation == usual.validation
    assert card.test["model"].log_loss > card.test[training.PREVALENCE].log_loss


def test_too_little_data_changes_nothing(pairs: Pairs, tmp_path: Path) -> None:
    here = Settings(data_dir=tmp_path)
    unused = np.zeros(pairs.table.num_rows, dtype=bool)
    never = with_labels(pairs, unused)
    none = replace(pairs, table=pairs.table.slice(0, 0))
    for few, word in ((never, "Too few"), (none, "nothing to learn")):
        with pytest.raises(LearnError, match=word):
            training.train_on(here, few, data="", seed=1)
    assert not propensity.models_dir(here).exists()


def copy_model(root: Path, model_id: str, to: Path) -> Path:
    folder = to / model_id
    folder.mkdir(parents=True)
    for path in (root / model_id).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", [propensity.MODEL_FILE, propensity.DESCRIPTION_FILE])
def test_a_changed_file_is_refused(trained: tuple[Path, Card], tmp_path: Path, name: str) -> None:
    root, card = trained
    folder = copy_model(root, card.id, tmp_path)
    propensity.read_model(folder)
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("gender", "Gender", 1))
    with pytest.raises(ModelError, match=rf"{name} was changed"):
        propensity.read_model(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} cannot be read"):
        propensity.read_model(folder)


def forge(folder: Path, **changes: object) -> Path:
    """Changes a model's description and gives the folder the name that goes with it."""
    path = folder / propensity.DESCRIPTION_FILE
    text = json.dumps(json.loads(path.read_text()) | changes)
    path.write_text(text)
    return folder.rename(folder.with_name(f"forged-{propensity.digest(text.encode())}"))


def test_other_features_and_another_order_are_refused(
    trained: tuple[Path, Card], tmp_path: Path
) -> None:
    root, card = trained
    shuffled = [FEATURES[1], FEATURES[0], *FEATURES[2:]]
    for number, (features, word) in enumerate(
        [(shuffled, "another order"), ([*FEATURES, "shoe_size"], "shoe_size")]
    ):
        folder = forge(copy_model(root, card.id, tmp_path / str(number)), features=features)
        with pytest.raises(ModelError, match=word):
            propensity.read_model(folder)
    # The trees themselves name their columns, too.
    folder = copy_model(root, card.id, tmp_path / "trees")
    text = (folder / propensity.MODEL_FILE).read_text()
    names = " ".join(FEATURES)
    assert names in text
    text = text.replace(names, " ".join(shuffled), 1)
    (folder / propensity.MODEL_FILE).write_text(text)
    digest = json.loads(
        propensity.describe(text, dict.fromkeys(CATEGORICAL, ()), Calibration(), {})
    )["model_sha256"]
    with pytest.raises(ModelError, match="another order"):
        propensity.read_model(forge(folder, model_sha256=digest))


def test_only_the_last_models_and_the_current_one_are_kept(
    trained: tuple[Path, Card], tmp_path: Path
) -> None:
    root, card = trained
    copy_model(root, card.id, tmp_path)
    propensity.promote(tmp_path, card.id)
    for number in range(propensity.KEPT_MODELS + 2):
        (tmp_path / f"later-{number}").mkdir()
        (tmp_path / f"later-{number}" / propensity.CARD_FILE).write_text("{}")
    propensity.prune(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    kept = {f"later-{number}" for number in range(2, propensity.KEPT_MODELS + 2)}
    assert left == {card.id, "current"} | kept


def test_training_is_due_when_the_data_changed(
    trained_store: tuple[Settings, Card], tmp_path: Path
) -> None:
    here, card = trained_store
    assert training.is_due(Settings(data_dir=tmp_path))
    record = BuildRecord("store", "duckdb", "passed", "", landing=card.data)
    write_record(here, record)
    assert not training.is_due(here)
    write_record(here, replace(record, landing="other"))
    assert training.is_due(here)


def test_time_is_no_feature() -> None:
    assert not {"ordered_at", "order_id", "customer_id", "coupon_id"} & set(FEATURES)
    assert len(set(FEATURES)) == len(FEATURES) == 19
