"""The retailer's stores, largest first: ids, shares of households, price zones.

Belongs here: what stays the same for a store. Does not belong here: what is promoted in it
(`support`), and which stores a household goes to (`traits`, `trips`).
"""

from dataclasses import dataclass

import numpy as np

from sample.household.chance import Floats, Ints, Purpose, generator

STORES = 582
TRACKED_STORES = 115  # the largest, whose displays and mailers are known
_TRACKED_SHARE = 0.9


@dataclass(frozen=True)
class Stores:
    """Columns over the stores."""

    store_id: Ints
    shoppers: Floats  # running sum of the shares of households
    zone: Ints  # 0, 1 or 2; prices differ a little between zones


def make_stores(seed: int) -> Stores:
    """The stores of a seed."""
    rng = generator(seed, Purpose.STORES)
    main = np.concatenate(
        [
            286 + rng.choice(165, 85, replace=False),
            31_401 + rng.choice(2900, TRACKED_STORES - 85, replace=False),
        ]
    )
    others = np.setdiff1d(
        np.concatenate([np.arange(2, 286), np.arange(451, 3500)]), main, assume_unique=True
    )
    rest = rng.choice(others, STORES - TRACKED_STORES, replace=False)
    large = (np.arange(TRACKED_STORES) + 4.0) ** -0.55
    small = (np.arange(STORES - TRACKED_STORES) + 3.0) ** -0.8
    share = np.concatenate(
        [large / large.sum() * _TRACKED_SHARE, small / small.sum() * (1 - _TRACKED_SHARE)]
    )
    running = np.cumsum(share)
    return Stores(
        store_id=np.concatenate([rng.permutation(main), rest]).astype(np.int64),
        shoppers=np.round(running / running[-1], 9),
        zone=rng.integers(0, 3, STORES),
    )
