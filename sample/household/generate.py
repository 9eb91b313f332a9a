"""The way in: the household domain's eight files at a scale.

Belongs here: which files there are, in which order, and how many households and stores a scale has.
Does not belong here: what households do (`batches`), and columns of files (`tables`; `support` for
causal_data).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from sample.asked import check_scale_and_seed, make_folder
from sample.files import write_csv
from sample.household import tables
from sample.household.batches import BATCH, make_batch
from sample.household.chance import Ints
from sample.household.prices import Lines
from sample.household.retailer import Retailer, make_retailer
from sample.household.stores import TRACKED_STORES
from sample.household.support import CAUSAL_SCHEMA, causal_rows
from sample.household.traits import FIRST_HOUSEHOLD, Traits

HOUSEHOLDS = 2500
_EXTRACT_STORES = 2
_BATCHES_SORTED = 25  # batches whose lines are sorted together; more would not fit into memory


@dataclass(frozen=True)
class _Kept:
    """Data to write after the transactions, by batch."""

    traits: list[Traits]
    sent: list[Ints]
    redeemed: list[Ints]


def generate_household(
    to: Path,
    *,
    scale: float = 1.0,
    seed: int = 1,
    causal: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Write the eight files of "The Complete Journey" into folder `to`; return rows by file name.

    Scale 1 has the real sizes: 2,500 households, some 2.6 million lines, 92,353 products. Another
    scale (above 0, up to 100) has more or fewer households, never fewer than one, whose days and
    habits stay the same; the catalogue and the coupons do not change. `causal` writes
    causal_data of all tracked stores (36.8 million rows at scale 1, in proportion below), else
    of two. The same arguments give the same bytes. `progress` is told of each file begun.

    Raises `SampleError` for a scale or seed out of range, or a folder that cannot be written.
    """
    check_scale_and_seed(scale, seed)
    make_folder(to)
    say = progress or (lambda _: None)

    rows: dict[str, int] = {}

    def write(name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        say(f"writing {name}")
        rows[name] = write_csv(to / name, schema, batches)

    def write_table(name: str, table: pa.Table) -> None:
        write(name, table.schema, iter(table.to_batches()))

    say("making products and promotions")
    retailer = make_retailer(seed)
    write_table("product.csv", tables.products(retailer.catalogue))
    write_table("campaign_desc.csv", tables.campaign_desc())
    write_table("coupon.csv", tables.coupons(retailer.campaigns.rows))

    households = max(round(HOUSEHOLDS * scale), 1)
    kept = _Kept([], [], [])

    def transactions() -> Iterator[pa.RecordBatch]:
        gathered: list[Lines] = []
        parts = math.ceil(households / BATCH)
        for part in range(parts):
            batch = make_batch(retailer, part, households)
            kept.traits.append(batch.traits)
            kept.sent.append(batch.sent)
            kept.redeemed.append(batch.redeemed)
            gathered.append(batch.lines)
            if len(gathered) == _BATCHES_SORTED or part == parts - 1:
                say(f"households: {min((part + 1) * BATCH, households):,} of {households:,}")
                yield from _by_basket(retailer, gathered)
                gathered.clear()

    write("transaction_data.csv", tables.TRANSACTION_SCHEMA, transactions())
    keys = np.arange(households) + FIRST_HOUSEHOLD
    write_table("hh_demographic.csv", tables.demographics(kept.traits, keys))
    write_table("campaign_table.csv", tables.campaign_table(np.concatenate(kept.sent)))
    write_table("coupon_redempt.csv", tables.coupon_redemptions(np.concatenate(kept.redeemed)))

    many = min(max(round(TRACKED_STORES * scale), _EXTRACT_STORES), TRACKED_STORES)
    write(
        "causal_data.csv",
        CAUSAL_SCHEMA,
        causal_rows(
            seed,
            retailer.catalogue,
            retailer.support,
            retailer.stores,
            many if causal else _EXTRACT_STORES,
        ),
    )
    return rows


def _by_basket(retailer: Retailer, gathered: list[Lines]) -> Iterator[pa.RecordBatch]:
    lines = Lines.join(gathered)
    lines = lines.take(np.argsort(lines.basket_id, kind="stable"))
    yield from tables.transactions(retailer.catalogue, lines).to_batches(max_chunksize=250_000)
