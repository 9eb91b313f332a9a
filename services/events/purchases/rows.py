"""Purchases as rows of `events.basket_lines` and `events.order_lines`.

Belongs here: reading a message, the shop's clock, the days that are taken. Does not belong here:
which of several events of a basket counts, which models decide.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from pollux.calendar import date_of, day_of
from services.events.payloads import MAX_BYTES, UnreadableError, check_size
from services.events.purchases.schemas import Basket, Order, Purchase

FIRST_DAY = date(1970, 1, 1)
IMPLAUSIBLE = "an implausible day: purchases are from 1970 to tomorrow"


class BasketRow(NamedTuple):
    """A line of a basket, as in `transaction_data`."""

    household_key: int
    basket_id: int
    day: int
    trans_time: int | None
    store_id: int | None
    product_id: int
    quantity: int
    sales_value: Decimal
    retail_disc: Decimal | None
    coupon_disc: Decimal | None
    coupon_match_disc: Decimal | None


class OrderRow(NamedTuple):
    """An item of an order, as in `orders` and `order_lines`."""

    order_id: int
    customer_id: int
    event_at: datetime
    product_id: int
    coupon_id: int | None
    original_price: Decimal | None
    paid_price: Decimal


PurchaseRow = BasketRow | OrderRow


def read_purchase(payload: bytes) -> Basket | Order:
    """The purchase of a message; raises `UnreadableError`."""
    check_size(payload, MAX_BYTES)
    try:
        return Purchase.model_validate_json(payload).root
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_input=False, include_context=False)
        if first["type"] == "json_invalid":
            raise UnreadableError("not JSON") from None
        # The name of an unknown field is the message's own.
        is_unknown = first["type"] == "extra_forbidden"
        names = first["loc"][:-1] if is_unknown else first["loc"]
        what = "a field that is not known" if is_unknown else first["msg"]
        reason = str(what).removeprefix("Value error, ")
        raise UnreadableError(f"{'.'.join(map(str, names))}: {reason}".removeprefix(": ")) from None


def rows_of(purchase: Basket | Order, zone: ZoneInfo) -> Sequence[PurchaseRow]:
    """The rows of a purchase; raises `UnreadableError` for a day that cannot be."""
    if isinstance(purchase, Order):
        _check(_at_shop(purchase.at, zone).date(), zone)
        return [
            OrderRow(
                purchase.order_id,
                purchase.customer_id,
                purchase.at,
                line.product_id,
                line.coupon_id,
                line.original_price,
                line.paid_price,
            )
            for line in purchase.lines
        ]
    moment = None if purchase.at is None else _at_shop(purchase.at, zone)
    if moment is None:
        assert purchase.day is not None  # noqa: S101 - one of both is given
        when = date_of(purchase.day)
    else:
        when = moment.date()
    _check(when, zone)
    return [
        BasketRow(
            purchase.household_key,
            purchase.basket_id,
            day_of(when),
            None if moment is None else 100 * moment.hour + moment.minute,
            purchase.store_id,
            line.product_id,
            line.quantity,
            line.sales_value,
            line.retail_disc,
            line.coupon_disc,
            line.coupon_match_disc,
        )
        for line in purchase.lines
    ]


def _at_shop(at: datetime, zone: ZoneInfo) -> datetime:
    try:
        return at.astimezone(zone)
    except OverflowError:
        # The shop's clock is in the year 10000 already.
        raise UnreadableError(IMPLAUSIBLE) from None


def _check(when: date, zone: ZoneInfo) -> None:
    """A later day would move the window of what is analysed; clocks and zones differ by one."""
    if not FIRST_DAY <= when <= datetime.now(UTC).astimezone(zone).date() + timedelta(days=1):
        raise UnreadableError(IMPLAUSIBLE)
