"""The small complete retailer among the seeds, cut from the household sample.

Belongs here: which households, baskets, lines, coupons and promotions the dbt seeds keep. Few as
they are, they hold every demographic value, recency class and kind of line that the models drop,
and references between the files are whole, but for two lines of a product that no file knows.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from sample.files import write_csv
from sample.household import tables
from sample.household.batches import BATCH, Batch, make_batch
from sample.household.campaigns import CAMPAIGNS, Campaigns
from sample.household.catalogue import Catalogue
from sample.household.chance import Ints
from sample.household.prices import Lines
from sample.household.retailer import Retailer, make_retailer
from sample.household.stores import TRACKED_STORES
from sample.household.support import (
    FIRST_WEEK,
    LAST_WEEK,
    causal_table,
)
from sample.household.traits import (
    DEMOGRAPHICS,
    FIRST_HOUSEHOLD,
    Traits,
    make_traits,
)

SEED = 1
UNKNOWN_PRODUCT = 99_999_999
UNKNOWN_PRODUCT_LINES = 2

_POOL = 10  # batches that households are chosen from
_HOUSEHOLDS = 24
_RECENCY_ENDS = (525, 615, 675, 700)
_FIRST_DAY, _LAST_DAY = 101, 708
_ONE_TIMER = "one day only"
_BASKETS = 7
_LINES = 4
_COUPON_BASKETS = 3
_ODD_LINES = 2  # per household and kind
_COUPON_ROWS = 9  # per campaign, besides those of redeemed coupons
_CAUSAL_ROWS = 330
_REPEATED_CAUSAL_ROWS = 3
_REPEATED_COUPON_ROWS = 4


@dataclass(frozen=True)
class _Cut:
    """What is kept of the retailer."""

    traits: list[Traits]
    households: Ints
    lines: Lines
    sent: Ints
    redeemed: Ints


def write_seeds(to: Path) -> dict[str, int]:
    """Write `raw_household__<dataset>.csv` for the eight datasets; return rows by file name.

    Always the same bytes. Raises `SampleError` where `to` cannot be written.
    """
    retailer = make_retailer(SEED)
    cut = _cut(retailer)
    coupons = _coupons(retailer.campaigns, retailer.catalogue, cut)
    causal = _causal(retailer, cut.lines)
    named = np.concatenate([coupons[:, 1], np.asarray(causal["PRODUCT_ID"])])
    products = np.union1d(
        cut.lines.product, np.searchsorted(retailer.catalogue.product_id, np.unique(named))
    )
    every = tables.products(retailer.catalogue)
    contents = {
        "transaction_data": _with_unknown_product(retailer.catalogue, cut.lines),
        "product": every.take(products),
        "hh_demographic": tables.demographics(cut.traits, cut.households),
        "campaign_table": tables.campaign_table(cut.sent),
        "campaign_desc": tables.campaign_desc(),
        "coupon": tables.coupons(coupons),
        "coupon_redempt": tables.coupon_redemptions(cut.redeemed),
        "causal_data": causal,
    }
    return {
        f"raw_household__{name}.csv": write_csv(
            to / f"raw_household__{name}.csv", table.schema, iter(table.to_batches())
        )
        for name, table in contents.items()
    }


def _cut(retailer: Retailer) -> _Cut:
    pool = [
        make_traits(retailer, FIRST_HOUSEHOLD + part * BATCH + np.arange(BATCH), part)
        for part in range(_POOL)
    ]
    chosen = _choose(pool)
    batches = [
        make_batch(retailer, part, _POOL * BATCH)
        for part in sorted({(key - FIRST_HOUSEHOLD) // BATCH for key in chosen})
    ]
    households = np.array(sorted(chosen))
    lines = _thin(retailer, batches, households)
    sent = np.concatenate([batch.sent for batch in batches])
    redeemed = np.concatenate([batch.redeemed for batch in batches])
    redeemed = redeemed[np.isin(redeemed[:, 0], households)]
    # A redemption stays if the household still shops on that day.
    shopped = lines.household_key * 1000 + lines.day
    return _Cut(
        traits=[batch.traits for batch in batches],
        households=households,
        lines=lines,
        sent=sent[np.isin(sent[:, 1], households)],
        redeemed=redeemed[np.isin(redeemed[:, 0] * 1000 + redeemed[:, 1], shopped)],
    )


def _choose(pool: list[Traits]) -> list[int]:
    """Household 1, then those that add most of the kinds still missing."""
    kinds = {
        key: _kinds(traits, row)
        for traits in pool
        for row, key in enumerate(traits.key.tolist())
        if traits.start[row] <= _FIRST_DAY or traits.is_one_timer[row]
    }
    # Two rounds, so that classes have more than one household where there is room.
    chosen = [FIRST_HOUSEHOLD]
    missing = set.union(*kinds.values()) - kinds[FIRST_HOUSEHOLD]
    while len(chosen) < _HOUSEHOLDS:
        if not missing:
            missing = {kind for kind in set.union(*kinds.values()) if kind[0] != _ONE_TIMER}
        best = max(
            (key for key in sorted(kinds) if key not in chosen),
            key=lambda key: (len(kinds[key] & missing), -key),
        )
        if not kinds[best] & missing:
            break
        chosen.append(best)
        missing -= kinds[best]
    return chosen


def _kinds(traits: Traits, row: int) -> set[tuple[str, int]]:
    """The rules and values of the models that a household would show."""
    kinds = {("recency", int(np.searchsorted(_RECENCY_ENDS, traits.end[row])))}
    if traits.has_demographics[row]:
        kinds |= set(zip(DEMOGRAPHICS, traits.demographics[row].tolist(), strict=True))
    else:
        kinds.add(("no demographics", 1))
    if traits.gasoline[row] > 0:
        kinds.add(("gasoline", 1))
    if traits.is_one_timer[row]:
        # A household seen only before the first day that counts would show nothing.
        return {(_ONE_TIMER, 1)} if _FIRST_DAY <= traits.start[row] <= _LAST_DAY else set()
    if traits.uses_coupons[row] and traits.is_mailed[row]:
        kinds.add(("coupons", 1))
    return kinds


def _thin(retailer: Retailer, batches: list[Batch], households: Ints) -> Lines:
    lines = Lines.join([batch.lines for batch in batches])
    lines = lines.take(np.flatnonzero(np.isin(lines.household_key, households)))
    pairs = np.unique(np.column_stack([lines.product, lines.household_key]), axis=0)
    shared = np.bincount(pairs[:, 0], minlength=retailer.catalogue.product_id.size)
    redeemed = np.concatenate([batch.redeemed for batch in batches])
    kept: list[int] = []
    for household in households.tolist():
        rows = np.flatnonzero(lines.household_key == household)
        days = redeemed[redeemed[:, 0] == household, 1]
        kept += _rows_of(retailer, lines, rows, shared, days)
    thin = lines.take(np.array(sorted(kept)))
    return thin.take(np.lexsort((thin.product, thin.basket_id)))


def _rows_of(retailer: Retailer, lines: Lines, rows: Ints, shared: Ints, days: Ints) -> list[int]:
    """Rows of a household to keep: baskets at the edges, on days with redemptions, and between."""
    ordinary = retailer.catalogue.popularity[lines.product[rows]] > 0
    gasoline = np.isin(lines.product[rows], retailer.catalogue.gasoline)
    sold = (lines.quantity[rows] > 0) & (lines.sales[rows] > 0) & ordinary
    inside = (lines.day[rows] >= _FIRST_DAY) & (lines.day[rows] <= _LAST_DAY)
    own = np.bincount(lines.product[rows], minlength=shared.size)
    score = 2 * np.minimum(own[lines.product[rows]], 10) + 8 * shared[lines.product[rows]]
    score += 100 * ((lines.coupon_disc[rows] < 0) & sold)

    place = _places(retailer, lines.store_id[rows])
    score += 12 * retailer.support.is_supported(lines.product[rows], place, lines.week[rows])

    basket = lines.basket_id[rows]
    usual = np.unique(basket[sold & inside])
    wanted = [*usual[:1], *usual[-1:]]
    wanted += [*basket[lines.day[rows] < _FIRST_DAY][:1], *basket[gasoline & inside][:1]]
    wanted += [*basket[lines.day[rows] > _LAST_DAY][-1:]]
    coupons = np.isin(lines.day[rows], days) & (lines.coupon_disc[rows] < 0) & sold
    wanted += np.unique(basket[coupons])[:_COUPON_BASKETS].tolist()
    between = usual[1:-1]
    wanted += between[:: max(between.size // _BASKETS, 1)].tolist()
    kept: list[int] = []
    for one in list(dict.fromkeys(int(number) for number in wanted))[: _BASKETS + 2]:
        inside_one = np.flatnonzero(basket == one)
        best = inside_one[np.argsort(-score[inside_one] - 1000 * sold[inside_one], kind="stable")]
        kept += rows[best[:_LINES]].tolist()
    odd = (
        (lines.quantity[rows] == 0) & (lines.sales[rows] == 0) & ordinary,
        (lines.quantity[rows] > 0) & (lines.sales[rows] == 0),
        lines.retail_disc[rows] > 0,
        ~ordinary & ~gasoline,
    )
    for kind in odd:
        kept += rows[kind & inside][:_ODD_LINES].tolist()
    return list(dict.fromkeys(kept))


def _coupons(campaigns: Campaigns, catalogue: Catalogue, cut: _Cut) -> Ints:
    """Rows of coupon: those redeemed, some for products that were sold, one for each campaign."""
    sold = np.unique(catalogue.product_id[cut.lines.product])
    redeemed = {(upc, campaign) for _, _, upc, campaign in cut.redeemed.tolist()}
    parts: list[Ints] = []
    for plan in CAMPAIGNS:
        rows = campaigns.rows[campaigns.rows[:, 2] == plan.campaign]
        rows, times = np.unique(rows, axis=0, return_counts=True)
        useful = np.isin(rows[:, 1], sold)
        repeated = rows[useful & (times > 1)][:_REPEATED_COUPON_ROWS]
        for upc in sorted(upc for upc, campaign in redeemed if campaign == plan.campaign):
            mine = rows[rows[:, 0] == upc]
            mine_sold = mine[np.isin(mine[:, 1], sold)]
            parts.append(mine_sold[:6] if mine_sold.size else mine[:1])
        some = rows[useful]
        parts.append(some[:: max(len(some) // _COUPON_ROWS, 1)][:_COUPON_ROWS])
        parts += [rows[:2], repeated]
        parts.append(-repeated)
    every = np.concatenate(parts)
    # Each row once, then the rows marked by a minus again.
    once = np.unique(every[every[:, 0] > 0], axis=0)
    rows = np.concatenate([once, -every[every[:, 0] < 0]])
    return rows[np.lexsort((rows[:, 2], rows[:, 0], rows[:, 1]))]


def _causal(retailer: Retailer, lines: Lines) -> pa.Table:
    """Rows of causal_data: the support of what was sold, and of the same products unsold."""
    support, stores = retailer.support, retailer.stores
    store = _places(retailer, lines.store_id)
    known = (store < TRACKED_STORES) & (lines.week >= FIRST_WEEK) & (lines.week <= LAST_WEEK)
    sold = np.column_stack([lines.product, lines.week, store])[known]
    sold = np.unique(sold[support.is_supported(sold[:, 0], sold[:, 2], sold[:, 1])], axis=0)
    weeks = np.arange(FIRST_WEEK, LAST_WEEK + 1)
    elsewhen = np.concatenate(
        [
            np.column_stack([np.full(weeks.size, product), weeks, np.full(weeks.size, place)])
            for product, place in np.unique(sold[:, [0, 2]], axis=0).tolist()
        ]
    )
    unsold = elsewhen[support.is_supported(elsewhen[:, 0], elsewhen[:, 2], elsewhen[:, 1])]
    step = max(len(unsold) // max(_CAUSAL_ROWS - len(sold), 1), 1)
    rows = np.unique(np.concatenate([sold, unsold[::step]]), axis=0)
    return causal_table(retailer.catalogue, support, stores, rows, _REPEATED_CAUSAL_ROWS)


def _places(retailer: Retailer, store_id: Ints) -> Ints:
    """Positions of tracked stores; `TRACKED_STORES` for any other."""
    tracked = retailer.stores.store_id[:TRACKED_STORES]
    of_store = {int(store): place for place, store in enumerate(tracked)}
    return np.array([of_store.get(int(number), TRACKED_STORES) for number in store_id])


def _with_unknown_product(catalogue: Catalogue, lines: Lines) -> pa.Table:
    """The transactions, with the first lines in scope once more under an unknown product."""
    inside = (lines.day >= _FIRST_DAY) & (lines.day <= _LAST_DAY) & (lines.sales > 0)
    inside &= lines.household_key != FIRST_HOUSEHOLD
    extra = lines.take(np.flatnonzero(inside)[:: max(int(inside.sum()) // 2, 1)])
    extra = extra.take(np.arange(UNKNOWN_PRODUCT_LINES))
    unknown = replace(catalogue, product_id=np.full_like(catalogue.product_id, UNKNOWN_PRODUCT))
    together = pa.concat_tables(
        [tables.transactions(catalogue, lines), tables.transactions(unknown, extra)]
    )
    return together.sort_by([("BASKET_ID", "ascending"), ("PRODUCT_ID", "ascending")])
