"""The products of the shop, and which of them a customer of a given price level picks.

Belongs here: what is sold at which price, and the taste of each price level. Does not belong here:
the words of names (`words`), a customer's level and favourites (`shoppers`), and discounts
(`coupons`).
"""

from dataclasses import dataclass

import numpy as np

from sample.chance import Floats, Ints, generator
from sample.store.chance import Purpose
from sample.store.words import (
    CATEGORIES,
    COLOURS,
    DEPARTMENTS,
    SIZES,
    SYLLABLES,
    VENDORS,
)

PRODUCTS = 3000
# What customers of each level like to spend on an item.
_LEVELS = np.round(np.geomspace(4.5, 26.0, 9), 4)
LEVELS = len(_LEVELS)

_QUANTILES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_PRICES = (1.01, 2.4, 3.4, 6.0, 9.9, 13.5, 21.0, 34.0, 115.0, 2000.0)
_PRICE_WIDTH = 0.55  # how far, in logarithms, people deviate from what they like to spend
_WHOLE = 1_000_000  # weights are whole numbers, so that their running sums are exact


@dataclass(frozen=True)
class Catalogue:
    """Columns over products; product id is the position + 1."""

    department: Ints  # position in DEPARTMENTS
    category: Ints  # position in CATEGORIES
    names: list[str]
    sizes: Ints
    vendor: Ints
    price: Ints  # cents
    popularity: Floats
    by_department: Ints  # positions of products, department by department
    running: Ints  # running sums of weights over by_department, for each department and level
    ends: Ints  # of `running`: sum of the weights up to and with each cell of (department, level)
    usual_price: Floats  # departments by LEVELS: mean price of what is picked

    def pick(self, department: Ints, level: Ints, draw: Floats) -> Ints:
        """Products of a department that customers of a level pick, by draws from [0, 1)."""
        cell = department * LEVELS + level
        below = np.where(cell > 0, self.ends[cell - 1], 0)
        wanted = below + np.floor(draw * (self.ends[cell] - below)).astype(np.int64)
        place = np.searchsorted(self.running, wanted, side="right")
        # `running` holds each department's products once for every level.
        sizes = np.bincount(self.department, minlength=len(DEPARTMENTS))
        starts = np.cumsum(sizes) - sizes
        within = place - starts[department] * LEVELS - sizes[department] * level
        picked: Ints = self.by_department[starts[department] + within]
        return picked


def make_catalogue(seed: int) -> Catalogue:
    """The products of a seed."""
    rng = generator(seed, Purpose.CATALOGUE)
    department = rng.integers(0, len(DEPARTMENTS), PRODUCTS)
    category = np.zeros(PRODUCTS, np.int64)
    for which in range(len(DEPARTMENTS)):
        sold = [place for place, (_, sellers) in enumerate(CATEGORIES) if which in sellers]
        mine = np.flatnonzero(department == which)
        category[mine] = np.array(sold)[rng.integers(0, len(sold), mine.size)]
    names = _names(rng, department, category)
    rank = (rng.permutation(PRODUCTS) + 1) / PRODUCTS
    price = np.exp(np.interp(rank, _QUANTILES, np.log(_PRICES)))
    cents = np.round(np.round(price, 4) * 100).astype(np.int64)
    liked = rng.lognormal(0.0, 0.5, len(CATEGORIES))[category]
    popularity = np.round(liked * rng.lognormal(0.0, 0.9, PRODUCTS), 4) + 0.0001
    by_department = np.argsort(department, kind="stable")
    running, ends, usual = _tastes(department, cents, popularity, by_department)
    return Catalogue(
        department=department,
        category=category,
        names=names,
        sizes=rng.integers(0, len(SIZES), PRODUCTS),
        vendor=rng.integers(0, len(VENDORS), PRODUCTS),
        price=cents,
        popularity=popularity,
        by_department=by_department,
        running=running,
        ends=ends,
        usual_price=usual,
    )


def _names(rng: np.random.Generator, department: Ints, category: Ints) -> list[str]:
    syllables = rng.integers(0, len(SYLLABLES), (PRODUCTS, 4))
    lengths = rng.integers(2, 5, PRODUCTS)
    colours = rng.integers(0, len(COLOURS), PRODUCTS)
    names = []
    for row in range(PRODUCTS):
        brand = "".join(SYLLABLES[part] for part in syllables[row, : lengths[row]])
        garment, _ = CATEGORIES[category[row]]
        names.append(
            f"{brand} - {COLOURS[colours[row]]} {garment} for {DEPARTMENTS[department[row]]}"
        )
    return names


def _tastes(
    department: Ints, cents: Ints, popularity: Floats, by_department: Ints
) -> tuple[Ints, Ints, Floats]:
    price = cents / 100
    usual = np.zeros((len(DEPARTMENTS), LEVELS))
    parts: list[Ints] = []
    ends: list[int] = []
    total = 0
    for which in range(len(DEPARTMENTS)):
        mine = by_department[department[by_department] == which]
        for level, liked in enumerate(_LEVELS.tolist()):
            away = np.log(price[mine] / liked) / _PRICE_WIDTH
            weights = popularity[mine] * np.exp(-0.5 * away**2)
            whole = np.round(weights * _WHOLE).astype(np.int64)
            usual[which, level] = (whole * price[mine]).sum() / whole.sum()
            parts.append(total + np.cumsum(whole))
            total = int(parts[-1][-1])
            ends.append(total)
    return np.concatenate(parts), np.array(ends), np.round(usual, 4)
