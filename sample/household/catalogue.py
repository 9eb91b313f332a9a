"""The products: what they are called, what they cost, who likes them.

Belongs here: everything that is the same in every week and store. `commodities.csv` beside this
module gives each commodity's department, share of products and of lines, usual price and season.
"""

import csv
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from sample.household.calendar import SEASONS, season_factors
from sample.household.chance import (
    Codes,
    Flags,
    Floats,
    Ints,
    Purpose,
    generator,
)

PRODUCTS = 92_353
CLUSTERS = 12
GASOLINE = "GASOLINE-REG UNLEADED"
_GASOLINE_PRODUCTS = 16
_BLANK_PRODUCTS = 15
_OWN_BRAND = 69
_OWN_BRAND_SHARE = 0.15
_MANUFACTURERS = 6476
_CHEAP_DIMES = 5  # prices up to this are whole dimes or a quarter, above they end in 9
_OWN_TASTE = 16  # how much more a cluster buys of its own products than others do
_WHOLE = 1e12  # parts that shares of popularity are counted in
_DEARER = 0.195  # the list gives prices of a slow month, discounts included
_RARELY_BOUGHT = 0.05  # share of lines spread evenly over all products, so that the tail sells

_COMMODITIES = Path(__file__).with_name("commodities.csv")
# Upper ends of ranges that ids come from, with the share of ids up to each.
_ID_RANGES = (
    (25_671, 0.0),
    (583_590, 0.05),
    (848_611, 0.10),
    (970_628, 0.25),
    (1_621_091, 0.50),
    (9_704_770, 0.75),
    (13_417_329, 0.90),
    (15_686_793, 0.95),
    (18_316_298, 1.0),
)
_VARIANTS = [
    "REGULAR", "PREMIUM", "ECONOMY", "ORGANIC", "LIGHT", "FAMILY", "SELECT", "CLASSIC",
    "ASSORTED", "SPECIALTY", "MULTI-PACK", "SINGLE", "KIDS", "BULK", "TRADITIONAL", "FLAVORED",
    "PLAIN", "IMPORTED", "GOURMET", "MINI", "JUMBO", "VALUE", "SEASONAL", "NATURAL", "FRESH",
    "DELUXE", "ORIGINAL", "EXTRA", "SUPER", "SMALL", "LARGE", "MEDIUM", "SOFT", "FIRM", "WHITE",
    "DARK", "MIXED", "COLORED", "BASIC", "ALL", "OTHER",
]  # fmt: skip
_SIZES = [
    "16", "12", "8", "6", "10", "15", "24", "32", "4", "20", "14", "9", "18", "7", "5", "11",
    "64", "3", "13", "14.5", "28", "10.5", "22", "48",
]  # fmt: skip
_SIZELESS = {
    "GROCERY": 0.03,
    "DRUG GM": 0.64,
    "PRODUCE": 0.16,
    "COSMETICS": 0.82,
    "NUTRITION": 0.03,
    "MEAT": 0.93,
    "MEAT-PCKGD": 0.02,
    "SEAFOOD-PCKGD": 0.02,
}
_SIZELESS_ELSEWHERE = 0.5
_UNITS = {"DRUG GM": "CT", "COSMETICS": "CT", "PRODUCE": "LB", "SPIRITS": "ML"}


@dataclass(frozen=True)
class Catalogue:
    """Columns over the products, ordered by id."""

    product_id: Ints
    manufacturer: Ints
    is_own_brand: Flags
    commodity: Ints
    sub_commodity: Ints
    size: Ints
    department_names: list[str]  # of a commodity
    commodity_names: list[str]
    sub_commodity_names: list[str]
    size_names: list[str]
    price: Ints  # cents
    is_weighed: Flags
    season: Codes
    popularity: Floats  # shares that sum to about 1; 0 for products not bought like other goods
    tastes: Ints  # concatenated running sums of weights, one stretch of products per cluster
    gasoline: Ints  # positions
    blank: Ints  # positions

    def draw(self, rng: np.random.Generator, clusters: Ints) -> Ints:
        """One product position for each cluster given, seasonal goods at their peak."""
        ends = self.tastes[PRODUCTS - 1 :: PRODUCTS]
        starts = np.concatenate([[0], ends[:-1]])
        ticket = starts[clusters] + (
            rng.random(clusters.size) * (ends[clusters] - starts[clusters])
        ).astype(np.int64)
        drawn: Ints = np.searchsorted(self.tastes, ticket, side="right") - clusters * PRODUCTS
        return drawn


def make_catalogue(seed: int) -> Catalogue:
    """The catalogue of a seed; 92,353 products at any scale."""
    rng = generator(seed, Purpose.CATALOGUE)
    with _COMMODITIES.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["commodity"] for row in rows]
    departments = [row["department"] for row in rows]
    commodity, is_gasoline, is_blank = _assign(rng, [int(row["products"]) for row in rows])
    commodity[is_gasoline] = names.index("COUPON/MISC ITEMS")

    is_own_brand = rng.random(PRODUCTS) < _OWN_BRAND_SHARE
    manufacturer, cluster = _makers(rng, commodity, is_own_brand, len(names))
    sub_commodity, sub_names = _sub_commodities(rng, commodity, names)
    size, size_names = _sizes(rng, commodity, departments)

    usual = np.array([float(row["price"]) for row in rows])
    price = usual[commodity] * rng.lognormal(_DEARER, 0.4, PRODUCTS)
    price = np.where(is_own_brand, price * 0.8, price)
    dimes = np.maximum(np.round(price * 10), 1).astype(np.int64)
    cents = np.where(dimes > _CHEAP_DIMES, dimes * 10 - 1, np.maximum(dimes * 10, 25))

    appeal = rng.lognormal(0.0, 1.6, PRODUCTS)
    appeal[is_gasoline | is_blank] = 0
    lines = np.array([float(row["lines"]) for row in rows])
    popularity = appeal / np.bincount(commodity, appeal, len(names))[commodity] * lines[commodity]
    popularity = popularity / popularity.sum() * (1 - _RARELY_BOUGHT)
    popularity = np.where(appeal > 0, popularity + _RARELY_BOUGHT / PRODUCTS, 0.0)
    # Rounded, so that a processor's last digit affects neither the draws nor the files.
    popularity = np.round(popularity * _WHOLE) / _WHOLE
    season = np.array([SEASONS.index(row["season"]) for row in rows])[commodity]

    # Names that neither the list of commodities nor any of their products uses.
    for positions, sub_name in ((is_gasoline, GASOLINE), (is_blank, " ")):
        sub_names.append(sub_name)
        sub_commodity[positions] = len(sub_names) - 1
    names, departments = [*names, " "], [*departments, " "]
    commodity[is_blank] = len(names) - 1
    size[is_gasoline | is_blank] = 0
    manufacturer[is_gasoline | is_blank] = 1
    return Catalogue(
        product_id=_product_ids(rng),
        manufacturer=manufacturer,
        is_own_brand=is_own_brand & ~is_gasoline & ~is_blank,
        commodity=commodity,
        sub_commodity=sub_commodity,
        size=size,
        department_names=departments,
        commodity_names=names,
        sub_commodity_names=sub_names,
        size_names=size_names,
        price=cents,
        is_weighed=np.array([row["weighed"] == "yes" for row in rows] + [False])[commodity],
        season=season.astype(np.int8),
        popularity=popularity,
        tastes=_tastes(seed, popularity, commodity, cluster, season),
        gasoline=np.flatnonzero(is_gasoline),
        blank=np.flatnonzero(is_blank),
    )


def _assign(rng: np.random.Generator, products: list[int]) -> tuple[Ints, Flags, Flags]:
    """A commodity for every product, and which products are gasoline or have no names."""
    ordinary = PRODUCTS - _GASOLINE_PRODUCTS - _BLANK_PRODUCTS
    bounds = np.round(np.cumsum(products) / sum(products) * ordinary).astype(np.int64)
    commodity = np.searchsorted(bounds, np.arange(PRODUCTS), side="right")
    commodity[ordinary:] = 0
    order = rng.permutation(PRODUCTS)
    return (
        commodity[order],
        order >= PRODUCTS - _GASOLINE_PRODUCTS,
        (order >= ordinary) & (order < PRODUCTS - _GASOLINE_PRODUCTS),
    )


def _makers(
    rng: np.random.Generator, commodity: Ints, is_own_brand: Flags, commodities: int
) -> tuple[Ints, Ints]:
    """Manufacturer and taste cluster; a manufacturer's products of a commodity share a cluster."""
    slots = np.maximum(np.bincount(commodity, minlength=commodities) // 14, 1)
    starts = np.cumsum(slots) - slots
    slot = starts[commodity] + (rng.random(PRODUCTS) ** 1.8 * slots[commodity]).astype(np.int64)
    codes = rng.integers(70, _MANUFACTURERS + 1, slots.sum())
    clusters = rng.integers(0, CLUSTERS, slots.sum() + commodities)
    manufacturer = np.where(is_own_brand, _OWN_BRAND, codes[slot])
    cluster = np.where(is_own_brand, clusters[slots.sum() + commodity], clusters[slot])
    return manufacturer, cluster


def _sub_commodities(
    rng: np.random.Generator, commodity: Ints, names: list[str]
) -> tuple[Ints, list[str]]:
    counts = np.bincount(commodity, minlength=len(names))
    kinds = np.clip(counts // 38, 1, len(_VARIANTS))
    starts = np.cumsum(kinds) - kinds
    chosen = starts[commodity] + (rng.random(PRODUCTS) ** 1.5 * kinds[commodity]).astype(np.int64)
    sub_names = []
    for name, many in zip(names, kinds.tolist(), strict=True):
        for variant in _VARIANTS[:many]:
            stem = name[: 30 - len(variant) - 3].rstrip()
            sub_names.append(f"{stem} - {variant}" if many > 1 else name[:30])
    return chosen, sub_names


def _sizes(
    rng: np.random.Generator, commodity: Ints, departments: list[str]
) -> tuple[Ints, list[str]]:
    units = ["OZ", "CT", "LB", "ML"]
    names = [" ", *(f"{size} {unit}" for unit in units for size in _SIZES)]
    unit = np.array([units.index(_UNITS.get(name, "OZ")) for name in departments])[commodity]
    sizeless = np.array([_SIZELESS.get(name, _SIZELESS_ELSEWHERE) for name in departments])
    pick = (rng.random(PRODUCTS) ** 1.6 * len(_SIZES)).astype(np.int64)
    size = np.where(rng.random(PRODUCTS) < sizeless[commodity], 0, 1 + unit * len(_SIZES) + pick)
    return size, names


def _product_ids(rng: np.random.Generator) -> Ints:
    parts = []
    for (low, below), (high, share) in pairwise(_ID_RANGES):
        many = round(share * PRODUCTS) - round(below * PRODUCTS)
        parts.append(low + np.sort(rng.choice(high - low, many, replace=False, shuffle=False)))
    return np.concatenate(parts)


def _tastes(seed: int, popularity: Floats, commodity: Ints, cluster: Ints, season: Ints) -> Ints:
    """Running sums of whole-number weights; from rounded values, so that they are exact."""
    rng = generator(seed, Purpose.CLUSTERS)
    commodities = int(commodity.max()) + 1
    usual = np.round(season_factors().mean(axis=1), 6)
    ends = 0
    parts = []
    for which in range(CLUSTERS):
        liking = np.round(rng.lognormal(0.0, 0.6, commodities), 4)
        weights = popularity * liking[commodity] / usual[season]
        weights = np.where(cluster == which, weights * _OWN_TASTE, weights)
        whole = np.round(weights * _WHOLE).astype(np.int64)
        parts.append(ends + np.cumsum(whole))
        ends = int(parts[-1][-1])
    return np.concatenate(parts)
