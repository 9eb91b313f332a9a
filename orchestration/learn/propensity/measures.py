"""How good predictions of yes or no are, in NumPy.

Belongs here: measures of predictions against what happened. Does not belong here: which predictions
are measured.

All take `happened` (bool) and `predicted` (higher is likelier; a probability where said), one entry
per pair, in any order. Where predictions tie, no measure depends on the order of the rows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

BINS = 10
# No prediction is so sure that a single miss costs infinitely much.
SURE = 1e-7


@dataclass(frozen=True)
class Bin:
    """Pairs next to each other by prediction: how many, the mean prediction, the share that was.

    `lift` is that share ÷ the share over all pairs.
    """

    pairs: int
    predicted: float
    happened: float
    lift: float


@dataclass(frozen=True)
class Measures:
    """PR-AUC is average precision; `calibration_error` the mean gap of the bins, by their pairs."""

    pr_auc: float
    roc_auc: float
    log_loss: float
    calibration_error: float
    bins: tuple[Bin, ...]


def measure(happened: Bools, predicted: Floats) -> Measures:
    """Everything about predictions that are probabilities; both outcomes must have happened."""
    bins = bins_of(happened, predicted)
    error = sum(one.pairs * abs(one.predicted - one.happened) for one in bins) / happened.size
    return Measures(
        pr_auc=average_precision(happened, predicted),
        roc_auc=roc_auc(happened, predicted),
        log_loss=log_loss(happened, predicted),
        calibration_error=error,
        bins=bins,
    )


def precision_and_recall(happened: Bools, predicted: Floats) -> tuple[Floats, Floats]:
    """Precision and recall at every distinct prediction as threshold, the highest first."""
    order = np.argsort(-predicted, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(predicted[order])), predicted.size - 1)
    hits = np.cumsum(happened[order], dtype=np.float64)[ends]
    return hits / (ends + 1), hits / hits[-1]


def average_precision(happened: Bools, predicted: Floats) -> float:
    """Precision at each threshold, weighed by the recall that it adds."""
    precision, recall = precision_and_recall(happened, predicted)
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def roc_auc(happened: Bools, predicted: Floats) -> float:
    """How often a pair that happened is above one that did not; a tie is half."""
    _, which, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    yes = int(happened.sum())
    no = happened.size - yes
    above = mean_rank[which][happened].sum() - yes * (yes + 1) / 2
    return float(above / (yes * no))


def log_loss(happened: Bools, predicted: Floats) -> float:
    """Mean negative logarithm of the probability given to what happened, nats."""
    sure = np.clip(predicted, SURE, 1 - SURE)
    return float(-np.mean(np.log(np.where(happened, sure, 1 - sure))))


def bins_of(happened: Bools, predicted: Floats, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins of equally many pairs, the highest predictions first.

    Equal predictions share a bin, so there may be fewer, and uneven ones.
    """
    values, which, counts = np.unique(-predicted, return_inverse=True, return_counts=True)
    hits = np.bincount(which, weights=happened, minlength=values.size)
    before = np.cumsum(counts) - counts
    place = np.minimum((before * bins) // predicted.size, bins - 1)
    overall = happened.mean()
    found = []
    for number in np.unique(place):
        inside = place == number
        pairs = int(counts[inside].sum())
        share = float(hits[inside].sum() / pairs)
        mean = float((-values[inside] * counts[inside]).sum() / pairs)
        found.append(Bin(pairs, mean, share, float(share / overall)))
    return tuple(found)
