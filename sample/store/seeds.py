"""The store domain's seeds: a small shop that shows every coupon type in every department.

Belongs here: which orders, coupons, products and customers the seeds keep. References between the
files are whole. Some ready-made aggregates are added, as from a shop that keeps no orders.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute

from sample.chance import Ints
from sample.files import write_csv
from sample.store import tables
from sample.store.batches import BATCH, Batch, make_batch
from sample.store.coupons import DEPARTMENT, EXAMPLE_DAYS, Coupons
from sample.store.shop import Shop, make_shop

SEED = 1
ANOTHER_SPELLING = "Sports"

_MOST_LINES = 8  # of the orders that are kept
_CUSTOMERS = 30  # that orders are taken of
_PLAIN_ORDERS = 6  # without a coupon
_DEPARTMENT_PRODUCTS = 3  # of department coupons, besides those bought with them
_WITHOUT_ORDERS = 3  # customers

_Columns = Mapping[str, Sequence[str | int | float]]

# Ready-made rows: for the first coupon and a customer with orders, whose own rows must win, and for
# ids that no other file has.
_FIRST_READY_COUPON = 900_001
_READY_COUPONS: _Columns = {
    "coupon_type": ["just_discount", "buy_all", "department"],
    "department": ["Women", "Sport", "Boys"],
    "discount": [99, 49, 20],
    "how_many_products_required": [1, 4, -1],
    "start_date": ["2010-01-01", "2010-01-01", "2021-03-01"],
    "end_date": ["2010-01-31", "2010-01-25", "2021-03-31"],
    "product_mean_price": [99.99, 5.85, 14.2],
    "products_available": [99, 4, 609],
}
_FIRST_READY_CUSTOMER = 900_001
_READY_CUSTOMERS: _Columns = {
    "gender": ["F", "M", "M", "F"],
    "age": [99, 52, 79, 38],
    "mean_buy_price": [99.99, 12.4, 11.62, 14.29],
    "total_coupons_used": [99, 31, 285, 984],
    "mean_discount_received": [99.0, 7.25, 9.16, 11.1],
    "unique_products_bought": [99, 180, 866, 1566],
    "unique_products_bought_with_coupons": [99, 25, 232, 634],
    "total_items_bought": [99, 240, 1102, 2980],
}


def write_seeds(to: Path) -> dict[str, int]:
    """Write `raw_store__<dataset>.csv` for the eight datasets; return rows by file name.

    Always the same bytes. Raises `SampleError` where `to` cannot be written.
    """
    shop = make_shop(SEED)
    batch = make_batch(shop, 0, first_order=1, customers=BATCH)
    orders = batch.order_id[_choose_orders(shop.coupons, batch)]
    lines = _rows(tables.order_lines(batch, shop.catalogue), "order_id", orders)
    kept_orders = _rows(tables.orders(batch), "order_id", orders)
    buyers = np.unique(kept_orders["customer_id"].to_numpy())
    others = np.setdiff1d(batch.shoppers.customer_id, buyers)[:_WITHOUT_ORDERS]
    kept_coupons = _choose_coupons(shop.coupons, lines)
    coupon_products = _coupon_products(shop, kept_coupons, lines)
    named = np.concatenate([lines["product_id"].to_numpy(), coupon_products["product_id"]])
    contents = {
        "products": _rows(tables.products(shop.catalogue), "product_id", named),
        "coupons": _other_spelling(_rows(tables.coupons(shop.coupons), "coupon_id", kept_coupons)),
        "coupon_products": coupon_products,
        "customers": _rows(
            tables.customers(batch), "customer_id", np.concatenate([buyers, others])
        ),
        "orders": kept_orders,
        "order_lines": lines,
        "coupon_info": _ready("coupon_id", [kept_coupons[0]], _FIRST_READY_COUPON, _READY_COUPONS),
        "customer_info": _ready(
            "customer_id", [buyers[0], others[0]], _FIRST_READY_CUSTOMER, _READY_CUSTOMERS
        ),
    }
    rows = {}
    for name, table in contents.items():
        path = to / f"raw_store__{name}.csv"
        rows[path.name] = write_csv(path, table.schema, iter(table.to_batches()))
    return rows


def _choose_orders(coupons: Coupons, batch: Batch) -> Ints:
    """Positions of small orders: one for each type and department used, and some without coupon."""
    sizes = np.bincount(batch.lines.order, minlength=batch.orders.shopper.size)
    shoppers = np.unique(batch.orders.shopper[sizes <= _MOST_LINES])[:_CUSTOMERS]
    small = np.isin(batch.orders.shopper, shoppers) & (sizes <= _MOST_LINES)
    used = batch.candidates.take(np.flatnonzero(batch.candidates.used))
    of_small = used.take(np.flatnonzero(small[used.order]))
    wanted: dict[tuple[int, int], int] = {}
    for order, coupon in zip(of_small.order.tolist(), of_small.coupon.tolist(), strict=True):
        wanted.setdefault((int(coupons.kind[coupon]), int(coupons.department[coupon])), order)
    plain = np.setdiff1d(np.flatnonzero(small), used.order)
    some = plain[:: max(plain.size // _PLAIN_ORDERS, 1)][:_PLAIN_ORDERS]
    return np.union1d(np.array(list(wanted.values())), some)


def _choose_coupons(coupons: Coupons, lines: pa.Table) -> Ints:
    """Ids of the coupons that lines name, and of all that are valid on the example days."""
    named = lines["coupon_id"].drop_null().to_numpy()
    valid = [
        np.flatnonzero((coupons.start <= day) & (day <= coupons.end)) + 1 for day in EXAMPLE_DAYS
    ]
    return np.unique(np.concatenate([named, *valid]))


def _coupon_products(shop: Shop, kept: Ints, lines: pa.Table) -> pa.Table:
    """Rows of the coupons kept; department coupons have few products, but all bought with them."""
    every = _rows(tables.coupon_products(shop.coupons), "coupon_id", kept)
    coupon, product = every["coupon_id"].to_numpy(), every["product_id"].to_numpy()
    with_coupon = lines.filter(compute.is_valid(lines["coupon_id"]))
    bought = set(
        zip(
            with_coupon["coupon_id"].to_pylist(), with_coupon["product_id"].to_pylist(), strict=True
        )
    )
    nth = np.arange(coupon.size) - np.searchsorted(coupon, coupon)
    keep = (shop.coupons.kind[coupon - 1] != DEPARTMENT) | (nth < _DEPARTMENT_PRODUCTS)
    keep |= [pair in bought for pair in zip(coupon.tolist(), product.tolist(), strict=True)]
    return every.filter(pa.array(keep))


def _rows(table: pa.Table, column: str, values: Ints) -> pa.Table:
    return table.filter(compute.is_in(table[column], pa.array(np.unique(values))))


def _other_spelling(coupons: pa.Table) -> pa.Table:
    """The first coupon of Sport is spelled Sports."""
    departments = coupons["department"].to_pylist()
    departments[departments.index("Sport")] = ANOTHER_SPELLING
    place = coupons.column_names.index("department")
    return coupons.set_column(place, "department", pa.array(departments))


def _ready(key: str, known: list[int], first: int, columns: _Columns) -> pa.Table:
    """Ready-made rows, the first ones for known keys."""
    many = len(next(iter(columns.values())))
    unknown = list(range(first, first + many - len(known)))
    return pa.table({key: pa.array([*known, *unknown], pa.int64()), **columns})
