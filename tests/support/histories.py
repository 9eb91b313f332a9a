"""Histories of a store for tests: tables as a training reads them."""

import random
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from orchestration.learn.propensity.history import TABLES

START = datetime(2026, 1, 1)  # noqa: DTZ001 - orders are in the shop's own time
DEPARTMENTS = ("Men", "Women")


class Order(NamedTuple):
    order_id: int
    customer_id: int
    ordered_at: datetime


class Line(NamedTuple):
    order_id: int
    product_id: int
    coupon_id: int | None
    paid_price: Decimal
    discount_millionths: int | None


class History(NamedTuple):
    """Rows of every table; a value that is not a list stays unchanged."""

    orders: list[Order]
    order_lines: list[Line]
    products: list[tuple[int, str]]
    customers: list[tuple[int, str | None, int | None]]
    coupons: list[tuple[Any, ...]]


def random_line(rng: random.Random, order_id: int) -> Line:
    return Line(
        order_id=order_id,
        product_id=rng.randint(1, 6),
        coupon_id=rng.choice([None, None, 1, 2, 3]),
        paid_price=Decimal(rng.randint(0, 3000)) / 100,
        discount_millionths=rng.choice([None, 0, -5, rng.randint(0, 100_000_000)]),
    )


def random_history(rng: random.Random) -> History:
    """A few customers, some with several orders on a day, or even at one moment."""
    orders = [
        Order(number, rng.randint(1, 3), START + timedelta(hours=12 * rng.randint(0, 20)))
        for number in range(1, 26)
    ]
    lines = [random_line(rng, order.order_id) for order in orders for _ in range(rng.randint(0, 4))]
    coupons = [
        (number, "buy_more", rng.choice(DEPARTMENTS), rng.randint(5, 50), 2,
         START.date() + timedelta(days=rng.randint(0, 4)),
         START.date() + timedelta(days=rng.randint(5, 12)), Decimal("12.50"), 3)
        for number in range(1, 5)
    ]  # fmt: skip
    products = [(number, DEPARTMENTS[number % 2]) for number in range(1, 7)]
    return History(orders, lines, products, [(1, "F", 30), (2, None, None)], coupons)


def open_random(history: History) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, (_, _, columns) in TABLES.items():
        declared = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        connection.execute(f"create table {name} ({declared})")
        rows: Sequence[Any] = getattr(history, name, ())
        if rows:
            places = ", ".join("?" for _ in columns)
            connection.executemany(f"insert into {name} values ({places})", rows)
    return connection


def open_sample(folder: Path) -> duckdb.DuckDBPyConnection:
    """The tables of a generated store, without dbt."""
    connection = duckdb.connect()
    raw = {path.stem: f"read_csv('{path}')" for path in folder.glob("*.csv")}
    for name in ("orders", "customers", "products"):
        columns = ", ".join(TABLES[name][2])
        connection.execute(f"create table {name} as select {columns} from {raw[name]}")
    connection.execute(
        f"""
        create table coupons as
        select {", ".join(f"coupons.{name}" for name in list(TABLES["coupons"][2])[:7])},
            priced.product_mean_price, coalesce(priced.products_available, 0) as products_available
        from {raw["coupons"]} as coupons
        left join (
            select coupon_id, round(avg(buy_price), 2) as product_mean_price,
                count(*) as products_available
            from {raw["coupon_products"]} join {raw["products"]} using (product_id) group by 1
        ) as priced using (coupon_id)
        """
    )
    connection.execute(
        f"""
        create table order_lines as
        select order_id, product_id, coupon_id, paid_price::decimal(18, 2) as paid_price,
            round(100e6 * (original_price - paid_price) / original_price)::bigint
                as discount_millionths
        from {raw["order_lines"]}
        """
    )
    return connection


def as_of(history: History, customer_id: int, moment: datetime) -> Mapping[str, Any]:
    """The features of a customer before a moment, counted by hand."""
    before = {
        order.order_id
        for order in history.orders
        if order.customer_id == customer_id and order.ordered_at < moment
    }
    lines = [line for line in history.order_lines if line.order_id in before]
    discounts = [line.discount_millionths for line in lines if line.discount_millionths is not None]
    with_coupon = [line for line in lines if line.coupon_id is not None]
    return {
        "mean_buy_price": _mean([int(line.paid_price * 100) for line in lines], 1),
        "total_coupons_used": len(with_coupon),
        "mean_discount_received": _mean(discounts, 10_000),
        "unique_products_bought": len({line.product_id for line in lines}),
        "unique_products_bought_with_coupons": len({line.product_id for line in with_coupon}),
        "total_items_bought": len(lines),
    }


def valid_coupons(history: History, order: Order) -> set[int]:
    departments = dict(history.products)
    bought = {
        departments[line.product_id]
        for line in history.order_lines
        if line.order_id == order.order_id
    }
    day: date = order.ordered_at.date()
    return {
        coupon[0]
        for coupon in history.coupons
        if coupon[2] in bought and coupon[5] <= day <= coupon[6]
    }


def _mean(values: Sequence[int], unit: int) -> float | None:
    """The mean in hundredths, halves up."""
    if not values:
        return None
    twice, divisor = 2 * sum(values) + len(values) * unit, 2 * len(values) * unit
    return (twice // divisor) / 100
