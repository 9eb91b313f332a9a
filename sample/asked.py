"""Checks that every domain's generator makes first: a writable folder, scale and seed in range."""

import math
from pathlib import Path

from sample.errors import SampleError

MOST_SCALE = 100.0


def check_scale_and_seed(scale: float, seed: int) -> None:
    """Raise `SampleError` unless scale is above 0 and at most 100, and seed 0 or above."""
    if not (math.isfinite(scale) and 0 < scale <= MOST_SCALE):
        raise SampleError(f"scale must be above 0 and at most {MOST_SCALE:g}, not {scale!r}")
    if seed < 0:
        raise SampleError(f"seed must be 0 or above, not {seed!r}")


def make_folder(to: Path) -> None:
    """Make the folder and its parents; raise `SampleError` where that fails."""
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SampleError(f"cannot write a sample to {to}: {error.strerror or error}") from error
