"""The way in: the store domain's six files at a scale.

Belongs here: which files there are, and in which order. Does not belong here: what customers do
(`batches`), columns of files (`tables`), and the probabilities of coupon use, which no file has
(`truth`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from sample.asked import check_scale_and_seed, make_folder
from sample.files import write_csv
from sample.store import tables
from sample.store.batches import CUSTOMERS, make_batches
from sample.store.shop import make_shop


def generate_store(
    to: Path,
    *,
    scale: float = 1.0,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Write the shop's six raw files into folder `to`; return rows by file name.

    Scale 1 has 1,000 customers and some 2 million order lines. Another scale (above 0, up to 100)
    has more or fewer customers, never fewer than one, who buy the same; products and coupons do
    not change. The same arguments give the same bytes. `progress` is told of each file begun.

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

    say("making products and coupons")
    shop = make_shop(seed)
    write_table("products.csv", tables.products(shop.catalogue))
    write_table("coupons.csv", tables.coupons(shop.coupons))
    write_table("coupon_products.csv", tables.coupon_products(shop.coupons))

    shoppers: list[pa.Table] = []
    orders: list[pa.Table] = []

    def order_lines() -> Iterator[pa.RecordBatch]:
        total = max(round(CUSTOMERS * scale), 1)
        done = 0
        for batch in make_batches(shop, scale):
            done += batch.customers
            say(f"customers: {done:,} of {total:,}")
            shoppers.append(tables.customers(batch))
            orders.append(tables.orders(batch))
            yield from tables.order_lines(batch, shop.catalogue).to_batches()

    write("order_lines.csv", tables.ORDER_LINE_SCHEMA, order_lines())
    write_table("customers.csv", pa.concat_tables(shoppers))
    write_table("orders.csv", pa.concat_tables(orders))
    return rows
