"""Campaigns and their coupons: who may be sent which, for which products, from when to when.

Belongs here: the plan, before anything is sent. Does not belong here: who is sent a campaign and
what follows (`redemptions`), and lower prices for all (`support`).
"""

from dataclasses import dataclass

import numpy as np

from sample.household.catalogue import Catalogue
from sample.household.chance import Floats, Ints, Purpose, generator

_STORE_COUPON_PRODUCTS = 200  # coupons for more products are the retailer's own
_VALUES = (25, 30, 35, 40, 50, 55, 60, 75, 100, 125, 150, 200)
_VALUE_SHARES = (0.05, 0.06, 0.07, 0.12, 0.2, 0.12, 0.05, 0.1, 0.15, 0.03, 0.03, 0.02)


@dataclass(frozen=True)
class Campaign:
    """One campaign as planned; `households` of 2,500 are sent it."""

    campaign: int
    kind: str
    start: int
    end: int
    households: int
    coupons: int
    products: int  # rows of coupon, without the repeated ones
    repeated: int = 0


@dataclass(frozen=True)
class Coupon:
    """A coupon of one campaign; `products` are catalogue positions, the most popular first."""

    upc: int
    cents: int
    products: Ints


CAMPAIGNS = (
    Campaign(26, "TypeA", 225, 266, 334, 180, 3452, 292),
    Campaign(27, "TypeC", 240, 302, 13, 27, 931, 3391),
    Campaign(28, "TypeB", 262, 321, 18, 28, 540),
    Campaign(29, "TypeB", 283, 333, 117, 33, 690, 2),
    Campaign(30, "TypeA", 325, 370, 360, 180, 3530, 576),
    Campaign(1, "TypeB", 345, 380, 14, 11, 380),
    Campaign(2, "TypeB", 352, 385, 47, 16, 300),
    Campaign(3, "TypeC", 358, 414, 13, 34, 740),
    Campaign(4, "TypeB", 371, 403, 82, 12, 200),
    Campaign(5, "TypeB", 379, 412, 165, 11, 440),
    Campaign(6, "TypeC", 392, 424, 64, 1, 18),
    Campaign(7, "TypeB", 399, 432, 197, 8, 260),
    Campaign(8, "TypeA", 411, 459, 1078, 208, 18600, 608),
    Campaign(9, "TypeB", 434, 466, 175, 18, 820),
    Campaign(10, "TypeB", 462, 494, 124, 14, 390),
    Campaign(11, "TypeB", 476, 522, 213, 13, 280),
    Campaign(12, "TypeB", 479, 510, 171, 15, 620),
    Campaign(13, "TypeA", 503, 550, 1080, 208, 38116, 173),
    Campaign(14, "TypeC", 532, 597, 223, 26, 1050, 13),
    Campaign(15, "TypeC", 546, 706, 18, 2, 55),
    Campaign(16, "TypeB", 560, 592, 187, 13, 1020),
    Campaign(17, "TypeB", 574, 606, 203, 19, 770),
    Campaign(18, "TypeA", 588, 643, 1130, 208, 37480, 109),
    Campaign(19, "TypeB", 602, 634, 131, 11, 380),
    Campaign(20, "TypeC", 616, 686, 243, 24, 840),
    Campaign(21, "TypeB", 623, 655, 66, 16, 240),
    Campaign(22, "TypeB", 625, 657, 275, 21, 1920),
    Campaign(23, "TypeB", 645, 683, 182, 18, 770),
    Campaign(24, "TypeB", 660, 719, 99, 2, 3722),
    Campaign(25, "TypeB", 658, 690, 186, 17, 830),
)


@dataclass(frozen=True)
class Campaigns:
    """The coupons of `CAMPAIGNS`, in the same order, and the rows of coupon."""

    coupons: list[list[Coupon]]
    wanted: list[Ints]  # couponed products, once each
    wanted_sums: list[Floats]  # running sums of their popularity, up to 1
    rows: Ints  # coupon, product id, campaign, as the file has them


def make_campaigns(seed: int, catalogue: Catalogue) -> Campaigns:
    """The campaigns' coupons; the same at any scale."""
    rng = generator(seed, Purpose.CAMPAIGNS)
    # Coupons go to neighbouring products: a commodity, and a manufacturer within it.
    order = np.lexsort((catalogue.product_id, catalogue.manufacturer, catalogue.commodity))
    order = order[catalogue.popularity[order] > 0]
    running = np.cumsum(catalogue.popularity[order])
    running /= running[-1]
    coupons, rows, wanted, sums = [], [], [], []
    own_upc = 10_000_085_000
    for plan in CAMPAIGNS:
        mine: list[Coupon] = []
        taken: set[int] = set()
        for size in _sizes(rng, plan).tolist():
            anchor = int(np.searchsorted(running, rng.random()))
            start = min(max(anchor - size // 2, 0), order.size - size)
            products = order[start : start + size]
            if size > _STORE_COUPON_PRODUCTS:
                own_upc += int(rng.integers(1, 9))
                upc = own_upc
            else:
                upc = _upc(rng, int(catalogue.manufacturer[order[anchor]]), taken)
            taken.add(upc)
            popular = np.argsort(-catalogue.popularity[products], kind="stable")
            mine.append(Coupon(upc, int(rng.choice(_VALUES, p=_VALUE_SHARES)), products[popular]))
        parts = [
            np.column_stack([np.full(c.products.size, c.upc), catalogue.product_id[c.products]])
            for c in mine
        ]
        pairs = np.concatenate(parts)
        # Where a campaign repeats more rows than it has, some appear several times.
        extra = np.resize(rng.permutation(len(pairs)), plan.repeated)
        pairs = np.concatenate([pairs, pairs[extra]])
        rows.append(np.column_stack([pairs, np.full(len(pairs), plan.campaign)]))
        coupons.append(mine)
        wanted.append(np.unique(np.concatenate([c.products for c in mine])))
        total = np.cumsum(catalogue.popularity[wanted[-1]])
        sums.append(np.round(total / total[-1], 12))
    together = np.concatenate(rows)
    together = together[np.lexsort((together[:, 2], together[:, 0], together[:, 1]))]
    return Campaigns(coupons=coupons, wanted=wanted, wanted_sums=sums, rows=together)


def _sizes(rng: np.random.Generator, plan: Campaign) -> Ints:
    """The number of products of each coupon of a campaign; they sum to the campaign's."""
    weights = rng.lognormal(0.0, 1.0, plan.coupons)
    spare = max(plan.products - plan.coupons * 25, 0)
    usual = plan.products - spare
    sizes = np.maximum(np.floor(weights / weights.sum() * usual), 1).astype(np.int64)
    # The rest goes to a few coupons that are valid for whole departments.
    broad = min(8, plan.coupons)
    left = plan.products - int(sizes.sum())
    shares = np.floor(left * np.array([2.0 ** -(i + 1) for i in range(broad)])).astype(np.int64)
    sizes[:broad] += shares
    sizes[0] += plan.products - int(sizes.sum())
    result: Ints = sizes
    return result


def _upc(rng: np.random.Generator, manufacturer: int, taken: set[int]) -> int:
    while True:
        family, value = int(rng.integers(1, 30)) * 10, int(rng.choice((11, 22, 33, 76, 50, 100)))
        upc = 50_000_000_000 + manufacturer * 1_000_000 + family * 1000 + value
        if upc not in taken:
            return upc
