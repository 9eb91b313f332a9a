"""The shop as Arrow tables with the columns of the raw files.

Belongs here: names, types and order of columns, and ids made from positions. Does not belong here:
values, which the other modules make, and how files are written (`sample.files`).
"""

import numpy as np
import pyarrow as pa

from sample.columns import NOTHING, dates, numbers, words
from sample.store.batches import Batch
from sample.store.catalogue import Catalogue
from sample.store.coupons import TYPES, Coupons
from sample.store.words import CATEGORIES, DEPARTMENTS, SIZES, VENDORS

_GENDERS = ("F", "M")

ORDER_LINE_SCHEMA = pa.schema(
    [
        ("order_id", pa.int64()),
        ("line_number", pa.int64()),
        ("product_id", pa.int64()),
        ("coupon_id", pa.int64()),
        ("original_price", pa.float64()),
        ("paid_price", pa.float64()),
    ]
)
CANDIDATE_SCHEMA = pa.schema(
    [
        ("order_id", pa.int64()),
        ("coupon_id", pa.int64()),
        ("probability", pa.float64()),
        ("used", pa.bool_()),
    ]
)


def products(catalogue: Catalogue) -> pa.Table:
    """Rows of products, by id."""
    return pa.table(
        {
            "product_id": np.arange(catalogue.price.size) + 1,
            "name": catalogue.names,
            "category": words(catalogue.category, [name for name, _ in CATEGORIES]),
            "sizes": words(catalogue.sizes, SIZES),
            "vendor": words(catalogue.vendor, VENDORS),
            "description": [
                f"{name} by {VENDORS[vendor]}. Available in {SIZES[sizes]}"
                for name, vendor, sizes in zip(
                    catalogue.names, catalogue.vendor, catalogue.sizes, strict=True
                )
            ],
            "buy_price": catalogue.price / 100,
            "department": words(catalogue.department, DEPARTMENTS),
        }
    )


def coupons(every: Coupons) -> pa.Table:
    """Rows of coupons, by id."""
    return pa.table(
        {
            "coupon_id": np.arange(every.kind.size) + 1,
            "coupon_type": words(every.kind, TYPES),
            "department": words(every.department, DEPARTMENTS),
            "discount": every.discount,
            "how_many_products_required": every.how_many,
            "start_date": dates(every.start),
            "end_date": dates(every.end),
        }
    )


def coupon_products(every: Coupons) -> pa.Table:
    """Rows of coupon_products, by coupon and product."""
    coupon = np.repeat(np.arange(every.kind.size), every.many_products)
    return pa.table({"coupon_id": coupon + 1, "product_id": every.products + 1})


def customers(batch: Batch) -> pa.Table:
    """Rows of customers, by id."""
    shoppers, many = batch.shoppers, batch.customers
    return pa.table(
        {
            "customer_id": shoppers.customer_id[:many],
            "gender": words(shoppers.is_male[:many].astype(np.int64), _GENDERS),
            "age": shoppers.age[:many],
        }
    )


def orders(batch: Batch) -> pa.Table:
    """Rows of orders, by customer and time."""
    return pa.table(
        {
            "order_id": batch.order_id,
            "customer_id": batch.shoppers.customer_id[batch.orders.shopper],
            "ordered_at": pa.array(batch.orders.second).cast(pa.timestamp("s")),
        }
    )


def order_lines(batch: Batch, catalogue: Catalogue) -> pa.Table:
    """Rows of order_lines, by order and line number."""
    lines = batch.lines
    sizes = np.bincount(lines.order, minlength=batch.orders.shopper.size)
    starts = np.cumsum(sizes) - sizes
    columns = [
        pa.array(batch.order_id[lines.order]),
        pa.array(np.arange(lines.order.size) - starts[lines.order] + 1),
        pa.array(lines.product + 1),
        numbers(np.where(lines.coupon == NOTHING, NOTHING, lines.coupon + 1)),
        pa.array(catalogue.price[lines.product] / 100),
        pa.array(lines.paid / 100),
    ]
    return pa.table(columns, schema=ORDER_LINE_SCHEMA)


def candidates(batch: Batch) -> pa.Table:
    """A row per order and coupon that it could use, by both ids."""
    columns = [
        batch.order_id[batch.candidates.order],
        batch.candidates.coupon + 1,
        batch.candidates.probability,
        batch.candidates.used,
    ]
    return pa.table([pa.array(column) for column in columns], schema=CANDIDATE_SCHEMA)
