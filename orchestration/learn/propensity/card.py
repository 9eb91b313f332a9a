"""The model card: what a model was trained on and how good it is, as JSON, Markdown and plots."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from orchestration.learn.propensity.errors import LearnError
from orchestration.learn.propensity.measures import Measures
from orchestration.learn.propensity.plots import write_plots
from pollux.propensity import CARD_FILE, Calibration

MARKDOWN_FILE = "card.md"


@dataclass(frozen=True)
class Window:
    """First and last day (ISO), pairs of order and coupon, and how many of them were used."""

    first_day: str
    last_day: str
    pairs: int
    used: int


@dataclass(frozen=True)
class Feature:
    """A feature and its share of the gain of all splits, 0 to 1."""

    name: str
    importance: float


@dataclass(frozen=True)
class Card:
    """A trained model; `validation` and `test` hold measures of it and the baselines by window.

    Only those of validation decide whether it is promoted; cards of earlier versions have none.
    `data` is the fingerprint of what the store was built from. `uses` counts all uses of coupons
    in the data, `uses_in_pairs` those of a coupon valid in a department of the order.
    """

    id: str
    trained_at: str
    is_promoted: bool
    reasons: Sequence[str]
    replaces: str | None
    data: str
    uses: int
    uses_in_pairs: int
    windows: Mapping[str, Window]
    library: str
    seed: int
    parameters: Mapping[str, Any]
    trees: int
    seconds: float
    calibration: Calibration
    test: Mapping[str, Measures]
    features: Sequence[Feature]
    validation: Mapping[str, Measures] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Card":
        """Reads a card; raises `LearnError` for a file that is not a card."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except ValidationError as error:
            raise LearnError(f"{path} is not a model card: remove its folder.") from error


def write_card(folder: Path, card: Card, predictions: pa.Table) -> None:
    """Writes `card.json`, `card.md` and the plots; `predictions` are those of the test window."""
    write_json(folder, card)
    plots = write_plots(folder, card.test, card.features, predictions)
    (folder / MARKDOWN_FILE).write_text(as_markdown(card, plots), encoding="utf-8")


def write_json(folder: Path, card: Card) -> None:
    """Writes `card.json` atomically."""
    unfinished = folder / f"{CARD_FILE}.new"
    unfinished.write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(folder / CARD_FILE)


def as_markdown(card: Card, plots: Sequence[str]) -> str:
    """The card as a Markdown page."""
    verdict = "promoted" if card.is_promoted else "not promoted: " + "; ".join(card.reasons)
    training = f"{card.library}, seed {card.seed}, {card.trees} trees, {card.seconds:.0f} s"
    slope, intercept = card.calibration.slope, card.calibration.intercept
    lines = [
        f"# Coupon propensity, model {card.id}",
        "",
        "How likely a customer is to use a coupon in an order with products of its department.",
        "",
        f"Trained {card.trained_at} ({training}), {verdict}.",
        f"It follows {card.replaces or 'no other'}.",
        "",
        "## Data",
        "",
        "A pair is an order and a coupon valid on its day in a department of its lines.",
        "Customer features describe the time before the order.",
        "",
        *_table(
            ("window", "first day", "last day", "pairs", "used", "share"),
            [
                (
                    name,
                    window.first_day,
                    window.last_day,
                    f"{window.pairs:,}",
                    f"{window.used:,}",
                    f"{window.used / window.pairs:.2%}",
                )
                for name, window in card.windows.items()
            ],
        ),
        "",
        f"Of {card.uses:,} uses of a coupon in the data, {card.uses_in_pairs:,} are in a pair.",
        "",
        "## On the validation window, which decides",
        "",
        *_measured(card.validation),
        "",
        "## On the test window, which only reports",
        "",
        *_measured(card.test),
        "",
        f"Calibrated log-odds: {slope:.4f} times the log-odds, {intercept:+.4f}.",
        "",
    ]
    for name, found in card.test.items():
        lines += [
            f"### By prediction: {name}",
            "",
            *_table(
                ("bin", "pairs", "predicted", "used", "lift"),
                [
                    (
                        str(number),
                        f"{one.pairs:,}",
                        f"{one.predicted:.4f}",
                        f"{one.happened:.4f}",
                        f"{one.lift:.2f}",
                    )
                    for number, one in enumerate(found.bins, start=1)
                ],
            ),
            "",
        ]
    lines += [
        "## Features",
        "",
        *_table(
            ("feature", "share of gain"),
            [(feature.name, f"{feature.importance:.1%}") for feature in card.features],
        ),
        "",
        *(f"![{plot.removesuffix('.png')}]({plot})" for plot in plots),
        "",
    ]
    return "\n".join(lines)


def _measured(measures: Mapping[str, Measures]) -> list[str]:
    return _table(
        ("", "PR-AUC", "ROC-AUC", "log loss", "calibration error"),
        [
            (
                name,
                f"{found.pr_auc:.4f}",
                f"{found.roc_auc:.4f}",
                f"{found.log_loss:.4f}",
                f"{found.calibration_error:.4f}",
            )
            for name, found in measures.items()
        ],
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "| --- " + "| ---: " * (len(head) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
