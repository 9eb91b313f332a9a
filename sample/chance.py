"""Random numbers that depend on the seed, the purpose and the part, and on nothing else.

Belongs here: what the domains' samples share. Each domain's own `Purpose` names its streams.
"""

from enum import IntEnum
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]

_OFFSETS = 6  # the purpose of `spread`'s own draws; no domain uses it
# Square roots of primes are rationally independent, so the sequences do not follow each other.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def generator(seed: int, purpose: IntEnum | int, *part: int) -> np.random.Generator:
    """A generator for one purpose and part (a batch, a chunk)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, *part])))


def spread(keys: Ints, dimension: int, seed: int) -> Floats:
    """A value in [0, 1) per key, spread evenly over any run of keys (a Kronecker sequence).

    Unlike independent draws, these keep the totals of a sample steady from seed to seed.
    """
    offset = generator(seed, _OFFSETS, dimension).random()
    result: Floats = np.mod(keys * sqrt(_PRIMES[dimension]) + offset, 1.0)
    return result


def expand(counts: Ints) -> tuple[Ints, Ints]:
    """Each item `i` `counts[i]` times: the item's index, and 0, 1, … within it."""
    owner = np.repeat(np.arange(counts.size), counts)
    starts = np.cumsum(counts) - counts
    return owner, np.arange(owner.size) - starts[owner]
