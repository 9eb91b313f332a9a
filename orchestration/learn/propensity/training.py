"""Training: fit on the past, calibrate and promote on the next window, report on the last months.

Belongs here: the time windows, LightGBM's parameters, when a model may score. Does not belong
here: making rows (`pairs`) and the card's text (`card`).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from orchestration.learn.propensity.card import Card, Feature, Window, write_card, write_json
from orchestration.learn.propensity.errors import LearnError
from orchestration.learn.propensity.history import open_history
from orchestration.learn.propensity.measures import Bools, Floats, Measures, log_loss, measure
from orchestration.learn.propensity.pairs import Pairs, check_features, numbered, read_pairs
from orchestration.transform.record import read_record
from pollux import propensity
from pollux.propensity import FEATURES, Calibration
from pollux.runtime.settings import Settings

DOMAIN = "store"
# Shares of the time from the first order to the last.
TEST_SHARE = 1 / 6
VALIDATION_SHARE = 1 / 12
ROUNDS = 1500
PATIENCE = 30
NEWTON_STEPS = 25
PREVALENCE = "prevalence"
PAST_RATE = "past rate of type and department"
PREDICTIONS_FILE = "test_predictions.parquet"

PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "lambda_l2": 5.0,
    "max_bin": 127,
    # One thread and a fixed order of sums: same data and seed, same bytes.
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}

log = logging.getLogger("pollux.learn")


@dataclass(frozen=True)
class Split:
    """Pairs before `validation_from` train, those before `test_from` validate, the rest test."""

    validation_from: int
    test_from: int
    pairs: int

    @property
    def train(self) -> slice:
        """Rows of the training window."""
        return slice(0, self.validation_from)

    @property
    def validation(self) -> slice:
        """Rows of the validation window."""
        return slice(self.validation_from, self.test_from)

    @property
    def test(self) -> slice:
        """Rows of the test window."""
        return slice(self.test_from, self.pairs)


@dataclass(frozen=True)
class Fitted:
    """The result of a fit: the model's text, its calibration, importances, log-odds by pair."""

    text: str
    trees: int
    calibration: Calibration
    importances: dict[str, float]
    log_odds: Floats


def train(
    settings: Settings,
    *,
    seed: int = 1,
    progress: Callable[[str], None] = lambda _step: None,
) -> Card:
    """Trains a model on the store's orders; promotes it if it beats both baselines on validation.

    The card says whether it was promoted, or why not. Raises `LearnError`, and changes nothing, if
    there is nothing to learn from.
    """
    progress("reading orders")
    with open_history(settings) as history:
        data = _built_from(settings)
        if data is None:
            raise LearnError("The store's last build did not pass: mend it and run pollux build.")
        check_features(history)
        pairs = read_pairs(history)
    return train_on(settings, pairs, data=data, seed=seed, progress=progress)


def is_due(settings: Settings) -> bool:
    """Whether the store's marts were built from other data than the last model's."""
    cards = propensity.cards(propensity.models_dir(settings))
    return not cards or Card.read(cards[-1]).data != _built_from(settings)


def _built_from(settings: Settings) -> str | None:
    """The fingerprint of what the marts were built from; None if that build did not pass."""
    record = read_record(settings, DOMAIN)
    return record.landing if record is not None and record.status == "passed" else None


def train_on(
    settings: Settings,
    pairs: Pairs,
    *,
    data: str,
    seed: int,
    progress: Callable[[str], None] = lambda _step: None,
) -> Card:
    """Like `train`, on given pairs; `data` is the fingerprint of the data they came from."""
    started = time.monotonic()
    is_used = pairs.is_used
    split = split_by_time(pairs.ordered_at)
    for name in ("train", "validation", "test"):
        rows = is_used[getattr(split, name)]
        if not rows.any() or rows.all():
            raise LearnError(
                f"Too few orders to learn from: of the {rows.size} pairs of order and coupon in "
                f"the {name} window, {rows.sum()} were used. The earlier model stays."
            )
    categories = pairs.categories(split.validation_from)
    features = propensity.encode(pairs.inputs(categories))
    fitted = fit(features, is_used, split, seed=seed, progress=progress)
    progress("measuring")
    validation, test = (_compare(pairs, fitted, rows) for rows in (split.validation, split.test))
    # The test window only reports: what decides anything is no test.
    reasons = shortcomings(validation)
    description = propensity.describe(
        fitted.text, categories, fitted.calibration, {"lightgbm": _lightgbm_version()}
    )
    last = pairs.ordered_at[-1].astype("datetime64[s]").item()
    root = propensity.models_dir(settings)
    card = Card(
        id=f"{last:%Y%m%d}-{propensity.digest(description)}",
        trained_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        is_promoted=not reasons,
        reasons=reasons,
        replaces=propensity.current_id(root),
        data=data,
        uses=pairs.uses,
        uses_in_pairs=int(is_used.sum()),
        windows={
            name: _window(pairs, getattr(split, name)) for name in ("train", "validation", "test")
        },
        library=f"LightGBM {_lightgbm_version()}",
        seed=seed,
        parameters=PARAMETERS,
        trees=fitted.trees,
        seconds=round(time.monotonic() - started, 1),
        calibration=fitted.calibration,
        validation=validation,
        test=test,
        features=[Feature(name, share) for name, share in fitted.importances.items()],
    )
    start = split.test_from
    rows = pairs.table.slice(start).select(["order_id", "coupon_id", "is_used"])
    predicted = fitted.calibration.apply(fitted.log_odds[start:])
    rows = rows.append_column("prediction", pa.array(predicted))
    past_rate = past_rates(pairs.table, is_used, start)[start:]
    rows = rows.append_column("past_rate", pa.array(past_rate))
    _store(settings, card, fitted.text, description, rows)
    return card


def _compare(pairs: Pairs, fitted: Fitted, rows: slice) -> dict[str, Measures]:
    """The model and the baselines on a window; the baselines know all that was before it."""
    happened = pairs.is_used[rows]
    log_odds = fitted.log_odds[rows]
    prevalence = pairs.is_used[: rows.start].mean()
    return {
        "model": measure(happened, fitted.calibration.apply(log_odds)),
        "model, not calibrated": measure(happened, Calibration().apply(log_odds)),
        PREVALENCE: measure(happened, np.full(happened.size, prevalence)),
        PAST_RATE: measure(happened, past_rates(pairs.table, pairs.is_used, rows.start)[rows]),
    }


def split_by_time(ordered_at: npt.NDArray[np.datetime64]) -> Split:
    """Splits pairs, sorted by time, at midnights, so that no day is in two windows."""
    if not ordered_at.size:
        raise LearnError("No order could have used a coupon: there is nothing to learn from.")
    first, last = ordered_at[0], ordered_at[-1]
    span = last - first
    bounds = [
        (last - span * share).astype("datetime64[D]").astype(ordered_at.dtype)
        for share in (TEST_SHARE + VALIDATION_SHARE, TEST_SHARE)
    ]
    validation_from, test_from = np.searchsorted(ordered_at, bounds)
    return Split(int(validation_from), int(test_from), ordered_at.size)


def fit(
    features: npt.NDArray[np.float32],
    is_used: Bools,
    split: Split,
    *,
    seed: int,
    progress: Callable[[str], None] = lambda _step: None,
) -> Fitted:
    """Fits trees on the training window, stopping where validation no longer improves."""
    import lightgbm as lgb  # noqa: PLC0415 - takes a second, and only training needs it

    def report(env: Any) -> None:  # noqa: ANN401 - LightGBM's own type
        progress(f"tree {env.iteration + 1}")

    parameters = PARAMETERS | {"seed": seed}
    train_set = lgb.Dataset(
        features[split.train],
        is_used[split.train],
        params=parameters,
        feature_name=list(FEATURES),
        categorical_feature=list(propensity.CATEGORICAL),
    )
    validation_set = train_set.create_valid(features[split.validation], is_used[split.validation])
    booster = lgb.train(
        parameters,
        train_set,
        ROUNDS,
        valid_sets=[validation_set],
        callbacks=[lgb.early_stopping(PATIENCE, verbose=False), report],
    )
    trees = booster.best_iteration
    log_odds = np.full(split.pairs, np.nan)
    measured = slice(split.validation_from, split.pairs)
    log_odds[measured] = booster.predict(
        features[measured], raw_score=True, num_iteration=trees, num_threads=1
    )
    gain = booster.feature_importance("gain", iteration=trees)
    shares = gain / max(gain.sum(), 1e-12)
    importances = {FEATURES[place]: float(shares[place]) for place in np.argsort(-shares)}
    return Fitted(
        text=booster.model_to_string(num_iteration=trees),
        trees=trees,
        calibration=calibrate(log_odds[split.validation], is_used[split.validation]),
        importances=importances,
        log_odds=log_odds,
    )


def calibrate(log_odds: Floats, happened: Bools) -> Calibration:
    """Platt's calibration if it helps, else none.

    Fitted to the earlier half, it must lower the log loss on the later half; it is then fitted to
    both.
    """
    half = happened.size // 2
    early, late = slice(0, half), slice(half, happened.size)
    if happened[early].all() or not happened[early].any():
        return Calibration()
    tried = _platt(log_odds[early], happened[early])
    plain = log_loss(happened[late], Calibration().apply(log_odds[late]))
    if tried.slope <= 0 or log_loss(happened[late], tried.apply(log_odds[late])) >= plain:
        return Calibration()
    return _platt(log_odds, happened)


def _platt(log_odds: Floats, happened: Bools) -> Calibration:
    """Logistic regression on one variable, by Newton's method."""
    columns = np.stack([log_odds, np.ones_like(log_odds)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        predicted = Calibration().apply(columns @ weights)
        slope = columns.T @ (predicted - happened)
        curve = (columns * (predicted * (1 - predicted))[:, None]).T @ columns
        # A small ridge: for perfectly separable outcomes there is no finite optimum.
        weights = weights - np.linalg.solve(curve + 1e-6 * np.eye(2), slope)
    return Calibration(slope=float(weights[0]), intercept=float(weights[1]))


def past_rates(table: pa.Table, is_used: Bools, until: int) -> Floats:
    """Per pair, how often coupons of its type and department were used in the first `until` pairs.

    If there was no such coupon, how often any coupon was used.
    """
    _, kind = numbered(table["coupon_type"])
    departments, department = numbered(table["department"])
    key = kind * len(departments) + department
    past = slice(0, until)
    pairs = np.bincount(key[past], minlength=int(key.max()) + 1)
    used = np.bincount(key[past], weights=is_used[past], minlength=pairs.size)
    rates = np.where(pairs > 0, used / np.maximum(pairs, 1), is_used[past].mean())
    return np.asarray(rates[key], dtype=np.float64)


def shortcomings(measures: dict[str, Measures]) -> list[str]:
    """Why a model may not score: every measure in which it does not beat a baseline."""
    model = measures["model"]
    found = []
    for name in (PREVALENCE, PAST_RATE):
        baseline = measures[name]
        if model.pr_auc <= baseline.pr_auc:
            found.append(f"PR-AUC {model.pr_auc:.4f} does not beat {baseline.pr_auc:.4f} ({name})")
        if model.log_loss >= baseline.log_loss:
            found.append(
                f"log loss {model.log_loss:.4f} does not beat {baseline.log_loss:.4f} ({name})"
            )
    return found


def _window(pairs: Pairs, rows: slice) -> Window:
    days = pairs.ordered_at[rows].astype("datetime64[D]")
    used = pairs.is_used[rows]
    return Window(str(days[0]), str(days[-1]), used.size, int(used.sum()))


def _store(
    settings: Settings, card: Card, text: str, description: bytes, predictions: pa.Table
) -> None:
    root = propensity.models_dir(settings)
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        folder = root / card.id
        # The same data and seed give the same model, which may be in use.
        if folder.exists():
            write_json(folder, card)
        else:
            unfinished = propensity.new_folder(root)
            (unfinished / propensity.MODEL_FILE).write_text(text, encoding="utf-8")
            (unfinished / propensity.DESCRIPTION_FILE).write_bytes(description)
            pq.write_table(predictions, unfinished / PREDICTIONS_FILE)
            write_card(unfinished, card, predictions)
            unfinished.replace(folder)
        propensity.read_model(folder)
        if card.is_promoted:
            propensity.promote(root, card.id)
        propensity.prune(root)
    log.info("Model %s %s", card.id, "promoted" if card.is_promoted else "not promoted")


def _lightgbm_version() -> str:
    import lightgbm  # noqa: PLC0415

    return str(lightgbm.__version__)
