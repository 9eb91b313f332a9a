"""Coupon propensity: how customers and coupons become features, and the files of a model.

Belongs here: what training and scoring share, so that both see the same features in the same order,
and the folder of trained models. Does not belong here: training (`orchestration.learn.propensity`)
and HTTP (`services.scoring`).

A model is a folder `models/propensity/<id>`: `model.txt` (LightGBM's text format), `model.json`
(what its features mean), `card.json` (how good it is) and more for people. None of them executes
code when read. `models/propensity/current` is a link to the one that scores.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pollux.forest import Forest, UnusualModelError, read_forest
from pollux.rules import department, text_key
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

if TYPE_CHECKING:
    from lightgbm import Booster

Floats = npt.NDArray[np.float64]
Categories = Mapping[str, Sequence[str]]

CATEGORICAL = ("gender", "coupon_type", "department")
NUMERIC = (
    "age",
    "mean_buy_price",
    "total_coupons_used",
    "mean_discount_received",
    "unique_products_bought",
    "unique_products_bought_with_coupons",
    "total_items_bought",
    "discount",
    "how_many_products_required",
    "product_mean_price",
    "products_available",
)
DERIVED = (
    "coupons_per_item",
    "discount_per_coupon",
    "unique_products_per_item",
    "unique_products_per_coupon",
    "log_price_ratio",
)
INPUTS = CATEGORICAL + NUMERIC
FEATURES = INPUTS + DERIVED
OF_COUPON = (
    "coupon_type",
    "department",
    "discount",
    "how_many_products_required",
    "product_mean_price",
    "products_available",
    "log_price_ratio",
)
# Columns of features that a customer's pairs have in common.
OF_CUSTOMER = [place for place, name in enumerate(FEATURES) if name not in OF_COUPON]

FORMAT = 1
MODEL_FILE = "model.txt"
DESCRIPTION_FILE = "model.json"
CARD_FILE = "card.json"
CURRENT = "current"
# Besides the current one.
KEPT_MODELS = 5


class ModelError(PolluxError):
    """A model cannot be used; the message says why and what to do."""


class NoModelError(ModelError):
    """No model has been promoted yet."""


@dataclass(frozen=True)
class Calibration:
    """Platt's: the log-odds of a score become `slope` times themselves plus `intercept`."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, log_odds: Floats) -> Floats:
        """Probabilities, 0 to 1, in the order of the log-odds."""
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-(self.slope * log_odds + self.intercept))))


@dataclass(frozen=True)
class PropensityModel:
    """A trained model; `card` says how good it is, as JSON.

    `forest` are the booster's trees, which predict the same in a fraction of the time; None where
    only LightGBM can read them.
    """

    id: str
    trained_at: datetime
    categories: Categories
    calibration: Calibration
    booster: "Booster"
    forest: Forest | None
    card: bytes

    def predict(
        self, features: npt.NDArray[np.float32], sizes: Sequence[int] | None = None
    ) -> Floats:
        """Probability of use for every row of `encode`'s matrix.

        `sizes` are the numbers of consecutive rows that are of one customer each.
        """
        if self.forest is None:
            raw = np.asarray(self.booster.predict(features, raw_score=True, num_threads=1))
        else:
            raw = self.forest.predict(features, shared=OF_CUSTOMER, sizes=sizes)
        return self.calibration.apply(raw)

    def explain(self, features: npt.NDArray[np.float32]) -> Floats:
        """What each feature added to the log-odds of a row's probability.

        A row for every row of `encode`'s matrix, a column for each of `FEATURES`, and last the
        base that they are added to: a row's sum is ln(p ÷ (1 - p)). These are the contributions of
        LightGBM (TreeSHAP), calibrated.
        """
        raw = self.booster.predict(features, pred_contrib=True, num_threads=1)
        added = np.asarray(raw) * self.calibration.slope
        added[:, -1] += self.calibration.intercept
        return added


def category_code(name: str, text: str | None, categories: Categories) -> float:
    """The number of a category, NaN where it is missing or the model does not know it."""
    if text is None:
        return np.nan
    if name == "department":
        text = department(text)
    known = categories[name]
    if text in known:
        return float(known.index(text))
    keys = [text_key(one) for one in known]
    key = text_key(text)
    return float(keys.index(key)) if key in keys else np.nan


def encode(inputs: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float32]:
    """The matrix of features, a row per pair of customer and coupon, from columns by name.

    `inputs` has the columns `INPUTS`, categories as `category_code`, NaN where nothing is known.
    """
    columns = {name: np.asarray(inputs[name], dtype=np.float64) for name in INPUTS}
    items = np.maximum(columns["total_items_bought"], 1)
    used = columns["total_coupons_used"]
    used_or_one = np.maximum(used, 1)
    unique_with = columns["unique_products_bought_with_coupons"]
    # A price of 0 has no logarithm, and a huge number overflows 32 bits: both are still scored.
    with np.errstate(all="ignore"):
        ratio = columns["product_mean_price"] / columns["mean_buy_price"]
        columns["coupons_per_item"] = used / items
        columns["discount_per_coupon"] = columns["mean_discount_received"] * items / used_or_one
        columns["unique_products_per_item"] = columns["unique_products_bought"] / items
        columns["unique_products_per_coupon"] = unique_with / used_or_one
        columns["log_price_ratio"] = np.log(ratio)
        return np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)


def models_dir(settings: Settings) -> Path:
    """Folder of the coupon-propensity models of an installation."""
    return settings.data_dir / "models" / "propensity"


def describe(
    model_text: str, categories: Categories, calibration: Calibration, versions: Mapping[str, str]
) -> bytes:
    """The contents of `model.json`; the same for the same model."""
    description = {
        "format": FORMAT,
        "features": list(FEATURES),
        "categories": {name: list(categories[name]) for name in CATEGORICAL},
        "calibration": {"slope": calibration.slope, "intercept": calibration.intercept},
        "model_sha256": hashlib.sha256(model_text.encode()).hexdigest(),
        "versions": dict(versions),
    }
    return (json.dumps(description, indent=2) + "\n").encode()


def digest(description: bytes) -> str:
    """The end of a model's id: it changes with any byte that predictions depend on."""
    return hashlib.sha256(description).hexdigest()[:12]


def current_id(root: Path) -> str | None:
    """The id of the model that scores, None before the first."""
    try:
        return (root / CURRENT).readlink().name
    except OSError:
        return None


def promote(root: Path, model_id: str) -> None:
    """Makes a model the current one, atomically."""
    link = root / f".{CURRENT}.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(model_id)
    link.replace(root / CURRENT)


def new_folder(root: Path) -> Path:
    """An empty folder to write a model into before it gets its name."""
    for left in root.glob(".new.*"):
        shutil.rmtree(left)
    folder = root / f".new.{os.getpid()}"
    folder.mkdir()
    return folder


def cards(root: Path) -> list[Path]:
    """The cards of all models, the last trained last."""
    found = [path for path in root.glob(f"*/{CARD_FILE}") if not path.parent.is_symlink()]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def prune(root: Path) -> None:
    """Removes all but the last `KEPT_MODELS` models and the current one."""
    current = current_id(root)
    for card in cards(root)[:-KEPT_MODELS]:
        if card.parent.name != current:
            shutil.rmtree(card.parent)


def read_current(root: Path) -> PropensityModel:
    """The model that scores; raises `NoModelError` where there is none, else like `read_model`."""
    model_id = current_id(root)
    if model_id is None:
        raise NoModelError(
            "No coupon-propensity model has been promoted yet: load the store's orders, build, and "
            "train one (pollux learn propensity)."
        )
    return read_model(root / model_id)


def read_model(folder: Path) -> PropensityModel:
    """Reads and checks a model; raises `ModelError` where it cannot be used.

    That is a model whose files were changed, whose card does not say when it was trained, whose
    features or their order are not those of this version, or that LightGBM cannot read.
    """
    try:
        written = (folder / DESCRIPTION_FILE).read_bytes()
        model_text = (folder / MODEL_FILE).read_bytes()
        card = (folder / CARD_FILE).read_bytes()
    except OSError as error:
        raise ModelError(f"{folder}: {error.filename} cannot be read: {error.strerror}.") from error
    description = _check_description(folder, written)
    if hashlib.sha256(model_text).hexdigest() != description["model_sha256"]:
        raise ModelError(f"{folder / MODEL_FILE} was changed since it was trained; {_AGAIN}")
    booster = _read_booster(folder, model_text.decode())
    try:
        forest = read_forest(model_text.decode())
    except UnusualModelError:
        forest = None
    return PropensityModel(
        id=folder.name,
        trained_at=_trained_at(folder / CARD_FILE, card),
        categories=description["categories"],
        calibration=Calibration(**description["calibration"]),
        booster=booster,
        forest=forest,
        card=card,
    )


_AGAIN = "train again (pollux learn propensity)."


def _check_description(folder: Path, written: bytes) -> dict[str, Any]:
    path = folder / DESCRIPTION_FILE
    if not folder.name.endswith(digest(written)):
        raise ModelError(f"{path} was changed since it was trained; {_AGAIN}")
    description: dict[str, Any] = json.loads(written)
    if description.get("format") != FORMAT:
        raise ModelError(f"{path} has a format that this version does not read; {_AGAIN}")
    _check_features(path, description["features"])
    return description


def _trained_at(path: Path, card: bytes) -> datetime:
    try:
        return datetime.fromisoformat(json.loads(card)["trained_at"]).astimezone(UTC)
    except (ValueError, TypeError, KeyError):
        raise ModelError(f"{path} does not say when the model was trained; {_AGAIN}") from None


def _check_features(path: Path, features: Sequence[str]) -> None:
    if list(features) != list(FEATURES):
        different = sorted(set(features) ^ set(FEATURES))
        what = f"other features ({', '.join(different)})" if different else "another order"
        raise ModelError(f"{path} was trained with {what} than this version makes; {_AGAIN}")


def _read_booster(folder: Path, model_text: str) -> "Booster":
    from lightgbm import Booster  # noqa: PLC0415 - takes a second, and only scoring needs it
    from lightgbm.basic import LightGBMError  # noqa: PLC0415

    try:
        booster = Booster(model_str=model_text)
    except LightGBMError as error:
        raise ModelError(f"{folder / MODEL_FILE} cannot be read: {error}; {_AGAIN}") from error
    _check_features(folder / MODEL_FILE, booster.feature_name())
    return booster
