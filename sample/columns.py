"""Arrow columns from NumPy arrays: days as dates, cents as amounts, codes as words.

Belongs here: conversions that any domain's sample may need. Does not belong here: the columns of a
file, which its domain declares, and making draws (`chance`).
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from sample.chance import Floats, Ints

NOTHING = -1
"""A day or code that stands for null."""

WORDS = pa.dictionary(pa.int32(), pa.string())


def day(date: str) -> int:
    """Days from 1970-01-01 to an ISO date."""
    return int(np.datetime64(date, "D").astype(np.int64))


def dates(days: Ints) -> pa.Array:
    """Dates from days since 1970-01-01; `NOTHING` is null."""
    return pa.array(days.astype(np.int32), mask=days == NOTHING).cast(pa.date32())


def words(codes: Ints, names: Sequence[str]) -> pa.Array:
    """The name of each code; `NOTHING` is null."""
    indices = pa.array(codes.astype(np.int32), mask=codes == NOTHING)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def numbers(values: Ints) -> pa.Array:
    """Whole numbers; `NOTHING` is null."""
    return pa.array(values, mask=values == NOTHING)


def pick(draws: Floats, weights: Sequence[float]) -> Ints:
    """Positions in `weights`, chosen with those weights by draws in [0, 1)."""
    bounds = np.cumsum(weights)
    chosen = np.searchsorted(bounds / bounds[-1], draws, side="right")
    return np.minimum(chosen, len(weights) - 1)
