"""Purchases as they arrive: rows of what can be read, reasons of what cannot."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from orchestration.load.declarations import read_datasets
from pollux.calendar import day_of
from services.events.payloads import UnreadableError
from services.events.purchases.rows import BasketRow, OrderRow, read_purchase, rows_of
from services.events.purchases.schemas import Price
from tests.conftest import PROJECT_DIR

BERLIN = ZoneInfo("Europe/Berlin")
BASKET: dict[str, Any] = {
    "household_key": 1,
    "basket_id": 9001,
    "at": "2026-07-01T22:05:59Z",
    "lines": [{"product_id": 14, "quantity": 2, "sales_value": 3.98}],
}
ORDER: dict[str, Any] = {
    "customer_id": 2,
    "order_id": 77,
    "at": "2026-07-01T22:05:59.25Z",
    "lines": [{"product_id": 101, "paid_price": 7.12}],
}


def rows(document: object) -> list[Any]:
    return list(rows_of(read_purchase(json.dumps(document).encode()), BERLIN))


def reason(document: object) -> str:
    with pytest.raises(UnreadableError) as caught:
        rows(document)
    return str(caught.value)


def test_a_basket_is_of_the_day_and_minute_of_the_shop() -> None:
    # In Berlin it is past midnight: July 2nd is day 8137, 0:05 is 5.
    more = {"retail_disc": "-0.50", "coupon_disc": 0, "coupon_match_disc": None}
    lines = [BASKET["lines"][0] | more, {"product_id": "15", "quantity": 0, "sales_value": "0"}]
    assert rows(BASKET | {"store_id": "324.0", "lines": lines}) == [
        BasketRow(1, 9001, 8137, 5, 324, 14, 2, Decimal("3.98"), Decimal("-0.5"), Decimal(0), None),
        BasketRow(1, 9001, 8137, 5, 324, 15, 0, Decimal(0), None, None, None),
    ]
    assert (date(2026, 7, 2) - date(2004, 3, 22)).days == 8137


@pytest.mark.parametrize("day", ["2006-02-28", 708, "708"])
def test_a_basket_may_have_a_day_instead(day: object) -> None:
    document = {name: value for name, value in BASKET.items() if name != "at"} | {"day": day}
    (row,) = rows(document)
    assert (row.day, row.trans_time) == (708, None)


def test_an_order_keeps_its_moment() -> None:
    more = {"original_price": "8.90", "coupon_id": 22}
    lines = [ORDER["lines"][0] | more, ORDER["lines"][0]]
    at = datetime(2026, 7, 1, 22, 5, 59, 250_000, UTC)
    assert rows(ORDER | {"lines": lines}) == [
        OrderRow(77, 2, at, 101, 22, Decimal("8.9"), Decimal("7.12")),
        OrderRow(77, 2, at, 101, None, None, Decimal("7.12")),
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([BASKET], "a basket has a basket_id, a shop's order an order_id"),
        ({}, "a basket has a basket_id, a shop's order an order_id"),
        (BASKET | ORDER, "a basket has a basket_id, a shop's order an order_id"),
        (BASKET | {"day": 708}, "basket: say either at or day"),
        ({**BASKET, "at": None}, "basket: say either at or day"),
        (
            {**BASKET, "lines": BASKET["lines"] * 2},
            "basket: a product is in two lines: add them up",
        ),
        ({**ORDER, "at": None}, "order.at: "),
        ({**ORDER, "lines": []}, "order.lines: List should have at least 1 item"),
        (BASKET | {"ada@example.org": 1}, "basket: a field that is not known"),
        (BASKET | {"household_key": "4.6"}, "basket.household_key: "),
        ({**ORDER, "lines": [{"product_id": 1, "paid_price": -1}]}, "order.lines.0.paid_price: "),
        (
            {**ORDER, "lines": [{"product_id": 1, "paid_price": 1.239}]},
            "order.lines.0.paid_price: ",
        ),
        ({**ORDER, "lines": [{"paid_price": 1}]}, "order.lines.0.product_id: Field required"),
        (BASKET | {"at": "1969-12-31T12:00:00Z"}, "an implausible day"),
        (BASKET | {"at": "9999-12-31T23:30:00Z"}, "an implausible day"),
        (ORDER | {"at": "9999-12-31T23:30:00Z"}, "an implausible day"),
        ({**BASKET, "at": None, "day": -20_000}, "an implausible day"),
    ],
)
def test_what_cannot_be_read_has_a_reason_without_its_values(
    document: object, expected: str
) -> None:
    found = reason(document)
    assert found.startswith(expected)
    assert not any(value in found for value in ("ada", "4.6", "1.239", "9001"))


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"null", b"7"])
def test_what_is_no_purchase_at_all(payload: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"^(not JSON|a basket has a basket_id)"):
        read_purchase(payload)


def test_a_purchase_of_the_future_does_not_move_the_window() -> None:
    """The day after tomorrow is none; tomorrow may be the sender's today."""
    today = datetime.now(UTC).astimezone(BERLIN).date()
    document = {**BASKET, "at": None}
    assert rows(document | {"day": day_of(today) + 1})
    assert reason(document | {"day": day_of(today) + 3}).startswith("an implausible day")
    late = datetime.now(UTC) + timedelta(days=3)
    assert reason(ORDER | {"at": late.isoformat()}).startswith("an implausible day")


@pytest.mark.parametrize("name", ["original_price", "paid_price"])
def test_prices_have_the_bounds_of_files(name: str) -> None:
    dataset = read_datasets(PROJECT_DIR)["store", "order_lines"]
    (column,) = [one for one in dataset.columns if one.name == name]
    schema = TypeAdapter(Price).json_schema()
    bounds = (column.rules.min_value, column.rules.max_value)
    assert bounds == (schema["minimum"], schema["maximum"])
