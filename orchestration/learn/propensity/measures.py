"""Measures of binary predictions against outcomes, in NumPy.

All take `happened` (bool) and `predicted` (higher is likelier; a probability where noted), with one
entry per pair, in any order. No measure depends on the order of rows with equal predictions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

BINS = 10
# Probabilities are clipped to this distance from 0 and 1, so that no miss costs infinitely much.
SURE = 1e-7


@dataclass(frozen=True)
class Bin:
    """Pairs with neighbouring predictions: how many, mean prediction, share that happened.

    `lift` is that share ÷ the share over all pairs.
    """

    pairs: int
    predicted: float
    happened: float
    lift: float


@dataclass(frozen=True)
class Measures:
    """PR-AUC is average precision; `calibration_error` the bins' mean gap, weighted by pairs."""

    pr_auc: float
    roc_auc: float
    log_loss: float
    calibration_error: float
    bins: tuple[Bin, ...]


def measure(happened: Bools, predicted: Floats) -> Measures:
    """All measures of predictions that are probabilities; both outcomes must occur."""
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
    """Precision and recall with every distinct prediction as threshold, the highest first."""
    order = np.argsort(-predicted, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(predicted[order])), predicted.size - 1)
    hits = np.cumsum(happened[order], dtype=np.float64)[ends]
    return hits / (ends + 1), hits / hits[-1]


def average_precision(happened: Bools, predicted: Floats) -> float:
    """Precision at each threshold, weighted by the recall that it adds."""
    precision, recall = precision_and_recall(happened, predicted)
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def roc_auc(happened: Bools, predicted: Floats) -> float:
    """How often a pair that happened ranks above one that did not; a tie counts half."""
    _, which, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    yes = int(happened.sum())
    no = happened.size - yes
    above = mean_rank[which][happened].sum() - yes * (yes + 1) / 2
    return float(above / (yes * no))


def log_loss(happened: Bools, predicted: Floats) -> float:
    """Mean negative logarithm of the probability given to the outcome, in nats."""
    sure = np.clip(predicted, SURE, 1 - SURE)
    return float(-np.mean(np.log(np.where(happened, sure, 1 - sure))))


def bins_of(happened: Bools, predicted: Floats, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins with equal numbers of pairs, the highest predictions first.

    Equal predictions share a bin, so bins may be fewer and uneven.
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
