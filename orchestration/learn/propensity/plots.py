"""The card's plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from orchestration.learn.propensity.measures import Measures, precision_and_recall

if TYPE_CHECKING:
    from orchestration.learn.propensity.card import Feature

EVALUATION = "evaluation.png"
IMPORTANCES = "importances.png"
MAX_POINTS = 2_000


def write_plots(
    folder: Path,
    measures: Mapping[str, Measures],
    features: Sequence["Feature"],
    predictions: pa.Table,
) -> list[str]:
    """Writes precision and recall, calibration, lift and importances; returns the files' names."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - takes a second

    evaluation = Figure(figsize=(13, 4), layout="constrained")
    curve, calibration, lift = evaluation.subplots(1, 3)
    _draw_curve(curve, predictions)
    for name, found in measures.items():
        points = ([one.predicted for one in found.bins], [one.happened for one in found.bins])
        calibration.plot(*points, marker="o", markersize=3, label=name)
    ends = calibration.get_xlim()
    calibration.plot(ends, ends, color="grey", linewidth=0.5)
    calibration.set(title="Calibration", xlabel="predicted", ylabel="used")
    calibration.legend(fontsize="x-small")
    bins = measures["model"].bins
    lift.bar(range(1, len(bins) + 1), [one.lift for one in bins])
    lift.set(title="Lift by tenth, highest predictions first", xlabel="tenth", ylabel="lift")
    evaluation.savefig(folder / EVALUATION, metadata={"Software": None})
    importances = Figure(figsize=(7, 5), layout="constrained")
    axes = importances.subplots()
    shown = list(reversed(features))
    axes.barh([one.name for one in shown], [one.importance for one in shown])
    axes.set(title="Share of what all splits gained")
    importances.savefig(folder / IMPORTANCES, metadata={"Software": None})
    return [EVALUATION, IMPORTANCES]


def _draw_curve(axes: Any, predictions: pa.Table) -> None:  # noqa: ANN401 - Matplotlib's own type
    happened = predictions["is_used"].to_numpy()
    for column, label in (("prediction", "model"), ("past_rate", "past rate")):
        precision, recall = precision_and_recall(happened, predictions[column].to_numpy())
        shown = np.unique(np.linspace(0, recall.size - 1, MAX_POINTS).astype(int))
        axes.plot(recall[shown], precision[shown], label=label)
    axes.axhline(happened.mean(), color="grey", linewidth=0.5, label="prevalence")
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1))
    axes.legend(fontsize="x-small")
