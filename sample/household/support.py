"""Promotion: which products have a display, a place in the mailer or a lower price, and when.

Belongs here: the support of every product, store and week, its effect on demand, and the rows
of causal_data about it. A product's week has one of some two thousand templates, which says which
stores take part and how. So one small table serves both the shoppers' demand and the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sample.household.calendar import WEEKS
from sample.household.catalogue import PRODUCTS, Catalogue
from sample.household.chance import (
    Codes,
    Flags,
    Floats,
    Ints,
    Purpose,
    expand,
    generator,
)
from sample.household.stores import TRACKED_STORES, Stores

FIRST_WEEK, LAST_WEEK = 9, 101
DISPLAYS = ("0", "1", "2", "3", "4", "5", "6", "7", "9", "A")
MAILERS = ("0", "A", "C", "D", "F", "H", "J", "L", "P", "X", "Z")
LIFT_CAP = 4.0  # the most that support and a lower price multiply demand by

_LIFT_PER_CENT = 0.018  # demand gained by each per cent off
_DISPLAY_SHARES = (0.034, 0.134, 0.118, 0.019, 0.129, 0.066, 0.246, 0.185, 0.069)
# Templates of each mailer code, in proportion to how often the code is used.
_MAILER_TEMPLATES = (1600, 350, 8, 160, 8, 40, 8, 4, 2, 2, 2)
_PRODUCTS_SUPPORTED = 68_377
_BUSIEST = 0.556  # share of weeks with support of the most popular product
_MAILER_SHARE = 0.225  # of the weeks that begin a support
_DISPLAY_STAYS = 0.45
_STORES_MAILING = 0.88
_USUAL_PLACE = 0.6  # of displays stand where most stores put that product
_REPEATED_ROWS = 2e-4
_CHUNK = 2000  # products written at a time
_MAILER_DISCOUNTS = 0.9  # share of products in the mailer that are cheaper with the card
_REGULAR_DISCOUNTS = 0.72  # the same for others, at most
_DISCOUNTS = (10, 15, 20, 25, 30, 35, 40, 50)
_DISCOUNT_TICKETS = (36, 41, 46, 41, 36, 26, 20, 10)  # of 256

CAUSAL_SCHEMA = pa.schema(
    [
        ("PRODUCT_ID", pa.int64()),
        ("STORE_ID", pa.int64()),
        ("WEEK_NO", pa.int64()),
        ("display", pa.string()),
        ("mailer", pa.string()),
    ]
)


@dataclass(frozen=True)
class Support:
    """Support of products by weeks by tracked stores, and its effect."""

    template: NDArray[np.uint16]  # products by (WEEKS + 1); 0 is no support
    display: Codes  # templates by (tracked stores + one column for all others)
    mailer: Codes
    discount: NDArray[np.uint8]  # products by (WEEKS + 1), per cent off with the loyalty card
    display_lift: Floats  # of a commodity: demand with a display over demand without
    mailer_lift: Floats

    def is_supported(self, product: Ints, store: Ints, week: Ints) -> Flags:
        """Whether products had a display or a place in the mailer."""
        template = self.template[product, week]
        column = np.minimum(store, TRACKED_STORES)
        supported: Flags = (self.display[template, column] > 0) | (
            self.mailer[template, column] > 0
        )
        return supported

    def lift(self, catalogue: Catalogue, product: Ints, store: Ints, week: Ints) -> Floats:
        """Demand over demand at the usual price without support; from 1 to `LIFT_CAP`."""
        template = self.template[product, week]
        column = np.minimum(store, TRACKED_STORES)
        commodity = catalogue.commodity[product]
        lift: Floats = 1 + _LIFT_PER_CENT * self.discount[product, week].astype(np.float64)
        lift *= np.where(self.display[template, column] > 0, self.display_lift[commodity], 1.0)
        lift *= np.where(self.mailer[template, column] > 0, self.mailer_lift[commodity], 1.0)
        capped: Floats = np.minimum(lift, LIFT_CAP)
        return capped


def make_support(seed: int, catalogue: Catalogue) -> Support:
    """The support of a seed; the same at any scale."""
    rng = generator(seed, Purpose.SUPPORT)
    display, mailer, first_of_mailer = _templates(rng)
    template = _assign(rng, catalogue, first_of_mailer)

    # The ticket's high byte decides whether there is a discount, its low byte how much.
    ticket = rng.integers(0, 2**16, template.shape, dtype=np.uint16)
    regular = np.round(_REGULAR_DISCOUNTS * rng.random(PRODUCTS) ** 0.8 * 256).astype(np.uint8)
    in_mailer = template >= first_of_mailer[1]
    likely = np.where(in_mailer, np.uint8(_MAILER_DISCOUNTS * 256), regular[:, None])
    depth = np.repeat(np.array(_DISCOUNTS, np.uint8), _DISCOUNT_TICKETS)[ticket & 255]
    depth[(ticket >> 8) >= likely] = 0

    commodities = len(catalogue.commodity_names)
    return Support(
        template=template,
        display=display,
        mailer=mailer,
        discount=depth,
        display_lift=np.round(1.15 + rng.gamma(2.0, 0.22, commodities), 3),
        mailer_lift=np.round(1.1 + rng.gamma(2.0, 0.15, commodities), 3),
    )


def causal_rows(
    seed: int, catalogue: Catalogue, support: Support, stores: Stores, many: int
) -> Iterator[pa.RecordBatch]:
    """The rows of the `many` largest stores, by product, week and store."""
    order = np.argsort(stores.store_id[:many])
    taking = (support.display[:, order] > 0) | (support.mailer[:, order] > 0)
    template_of_slot, slot_store = np.nonzero(taking)
    counts = np.bincount(template_of_slot, minlength=taking.shape[0])
    starts = np.cumsum(counts) - counts
    column = order[slot_store]
    slot_display = support.display[template_of_slot, column]
    slot_mailer = support.mailer[template_of_slot, column]
    slot_store_id = stores.store_id[column]
    for part, low in enumerate(range(0, PRODUCTS, _CHUNK)):
        template = support.template[low : low + _CHUNK, FIRST_WEEK : LAST_WEEK + 1]
        product, week = np.nonzero(template)
        used = template[product, week].astype(np.int64)
        pair, within = expand(counts[used])
        slot = starts[used][pair] + within
        mailer = slot_mailer[slot]
        again = generator(seed, Purpose.REPEATS, part).random(slot.size) < _REPEATED_ROWS
        rows, twice = expand(1 + again.astype(np.int64))
        slot, pair = slot[rows], pair[rows]
        # A repeated row has another place in the mailer.
        mailer = np.where(twice == 1, _elsewhere(mailer[rows]), mailer[rows])
        columns = [
            pa.array(catalogue.product_id[low + product[pair]]),
            pa.array(slot_store_id[slot]),
            pa.array(week[pair] + FIRST_WEEK),
            _texts(slot_display[slot], DISPLAYS),
            _texts(mailer, MAILERS),
        ]
        yield pa.record_batch(columns, schema=CAUSAL_SCHEMA)


def causal_table(
    catalogue: Catalogue, support: Support, stores: Stores, rows: Ints, repeated: int
) -> pa.Table:
    """Rows of causal_data for rows of product, week and store, all of them with support.

    The first `repeated` rows appear twice, the second time with another place in the mailer.
    """
    product, week, store = rows.T
    template = support.template[product, week]
    twice = np.arange(len(rows)) < repeated
    at, nth = expand(1 + twice.astype(np.int64))
    mailer = support.mailer[template, store][at]
    mailer = np.where(nth == 1, _elsewhere(mailer), mailer)
    return pa.table(
        [
            pa.array(catalogue.product_id[product][at]),
            pa.array(stores.store_id[store][at]),
            pa.array(week[at]),
            _texts(support.display[template, store][at], DISPLAYS),
            _texts(mailer, MAILERS),
        ],
        schema=CAUSAL_SCHEMA,
    )


def _elsewhere(mailer: Codes) -> Codes:
    """Another place in the mailer than the one given."""
    return np.where(mailer == 1, 3, 1).astype(np.int8)


def _texts(codes: Codes, names: tuple[str, ...]) -> pa.Array:
    indices = pa.array(codes.astype(np.int8))
    return pa.DictionaryArray.from_arrays(indices, list(names)).dictionary_decode()


def _templates(rng: np.random.Generator) -> tuple[Codes, Codes, Ints]:
    """Display and mailer by template and store, and the first template of each mailer code."""
    firsts = 1 + np.concatenate([[0], np.cumsum(_MAILER_TEMPLATES)])
    shape = (int(firsts[-1]), TRACKED_STORES + 1)
    display = np.zeros(shape, np.int8)
    mailer = np.zeros(shape, np.int8)
    codes = np.arange(1, len(DISPLAYS), dtype=np.int8)
    for code, (low, high) in enumerate(pairwise(firsts)):
        many = int(high - low)
        lottery = rng.random((many, TRACKED_STORES))
        if code == 0:
            ranks = [NormalDist().inv_cdf((i + 0.5) / many) for i in range(many)]
            sizes = np.clip(np.round(np.exp(1.25 + 1.38 * np.array(ranks))), 1, 100)
            displayed = np.argsort(np.argsort(lottery, axis=1), axis=1) < sizes[:, None]
        else:
            takes_part = lottery < _STORES_MAILING
            mailer[low:high, :-1] = np.where(takes_part, code, 0)
            share = rng.beta(1.0, 3.6, many)
            displayed = (rng.random((many, TRACKED_STORES)) < share[:, None]) & takes_part
        usual = rng.choice(codes, (many, 1), p=_DISPLAY_SHARES)
        own = rng.choice(codes, (many, TRACKED_STORES), p=_DISPLAY_SHARES)
        mixed = np.where(rng.random((many, TRACKED_STORES)) < _USUAL_PLACE, usual, own)
        display[low:high, :-1] = np.where(displayed, mixed, 0)
    return display, mailer, firsts


def _assign(
    rng: np.random.Generator, catalogue: Catalogue, first_of_mailer: Ints
) -> NDArray[np.uint16]:
    """A template for every product and week; popular products have support in more weeks."""
    noisy = catalogue.popularity * rng.lognormal(0.0, 1.0, PRODUCTS)
    rank = np.empty(PRODUCTS, np.int64)
    rank[np.argsort(noisy, kind="stable")] = np.arange(PRODUCTS)
    above = np.maximum(rank - (PRODUCTS - _PRODUCTS_SUPPORTED), 0) / _PRODUCTS_SUPPORTED
    starting = _BUSIEST * above**1.75
    by_week = np.zeros((WEEKS + 1, PRODUCTS), np.uint16)
    displays, last = int(first_of_mailer[1]), int(first_of_mailer[-1])
    # One ticket of 65,536 draws a template: the first tickets are for mailers.
    tickets = 2**16
    mailed = round(_MAILER_SHARE * tickets)
    drawn = np.concatenate(
        [
            displays + np.arange(mailed) % (last - displays),
            1 + np.arange(tickets - mailed) % (displays - 1),
        ]
    ).astype(np.uint16)
    threshold = starting.astype(np.float32)
    for week in range(FIRST_WEEK, LAST_WEEK + 1):
        before = by_week[week - 1]
        stays = (before > 0) & (before < displays)
        stays &= rng.integers(0, 256, PRODUCTS, dtype=np.uint8) < round(_DISPLAY_STAYS * 256)
        new = drawn[rng.integers(0, tickets, PRODUCTS, dtype=np.uint16)]
        new = np.where(rng.random(PRODUCTS, dtype=np.float32) < threshold, new, np.uint16(0))
        by_week[week] = np.where(stays, before, new)
    return np.ascontiguousarray(by_week.T)
