"""Purchases as they arrive, over MQTT and HTTP alike.

Belongs here: fields and their types. Does not belong here: rows of tables (`rows`).
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    WithJsonSchema,
    model_validator,
)

from services.common.values import Amount, Id, Integer, UtcMoment, read_as
from services.events.offer_schemas import EventId
from services.scoring.schemas import EXACT

MAX_LINES = 1_000
# As files' are, so that a line's percent has room in the marts.
MAX_PRICE = 100_000_000

Price = Annotated[
    Decimal,
    Field(ge=0, le=MAX_PRICE),
    read_as("money"),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_PRICE}),
]
Day = Annotated[
    int,
    read_as("day"),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "integer"}]}),
]
At = Annotated[UtcMoment, Field(examples=["2026-11-22T16:31:00Z"])]


class _Purchase(BaseModel):
    model_config = EXACT

    event_id: EventId | None = Field(
        default=None,
        description="Name of this event: sent again, it is the same one, over MQTT (where the "
        "property event-id says it, too) as over HTTP.",
        examples=["till-7-000124"],
    )


class BasketLine(BaseModel):
    """A product in a household's basket."""

    model_config = EXACT

    product_id: Id = Field(description="Product; once in a basket.", examples=[819063])
    quantity: Integer = Field(description="Units.", examples=[2])
    sales_value: Amount = Field(
        description="Dollars received, after the retailer's discounts.", examples=[3.98]
    )
    retail_disc: Amount | None = Field(
        default=None, description="Loyalty card discount, dollars; negative.", examples=[-0.5]
    )
    coupon_disc: Amount | None = Field(
        default=None, description="Manufacturer's coupon, dollars; negative.", examples=[0]
    )
    coupon_match_disc: Amount | None = Field(
        default=None,
        description="What the retailer added to that coupon, dollars; negative.",
        examples=[0],
    )


class Basket(_Purchase):
    """A household's basket: a visit."""

    # Made from its fields, an example would have both at and day.
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event_id": "till-7-000124",
                    "household_key": 1,
                    "basket_id": 42000000001,
                    "at": "2006-02-28T16:31:00Z",
                    "lines": [{"product_id": 819063, "quantity": 2, "sales_value": 3.98}],
                }
            ]
        }
    )

    household_key: Id = Field(description="Household.", examples=[1])
    basket_id: Id = Field(
        description="Basket; sent again in another event, it replaces the earlier one.",
        examples=[42000000001],
    )
    at: At | None = Field(default=None, description="When, in UTC without a zone of its own.")
    day: Day | None = Field(
        default=None,
        description="Instead of at: the day, as a date or by number (1 is 2004-03-23).",
        examples=["2006-02-28"],
    )
    store_id: Id | None = Field(default=None, description="Store.", examples=[324])
    lines: list[BasketLine] = Field(min_length=1, max_length=MAX_LINES)

    @model_validator(mode="after")
    def _check(self) -> "Basket":
        if (self.at is None) == (self.day is None):
            raise ValueError("say either at or day")
        products = [line.product_id for line in self.lines]
        if len(set(products)) < len(products):
            raise ValueError("a product is in two lines: add them up")
        return self


class OrderLine(BaseModel):
    """An item of a shop's order."""

    model_config = EXACT

    product_id: Id = Field(description="Product.", examples=[101])
    paid_price: Price = Field(description="Price paid, dollars.", examples=[7.12])
    original_price: Price | None = Field(
        default=None, description="Price without the coupon, dollars.", examples=[8.9]
    )
    coupon_id: Id | None = Field(default=None, description="Coupon used.", examples=[22])


class Order(_Purchase):
    """An order of a customer of the shop."""

    customer_id: Id = Field(description="Customer.", examples=[2])
    order_id: Id = Field(
        description="Order; sent again in another event, it replaces the earlier one.",
        examples=[42000000001],
    )
    at: At = Field(description="When, in UTC without a zone of its own.")
    lines: list[OrderLine] = Field(min_length=1, max_length=MAX_LINES)


def _kind(purchase: object) -> str | None:
    names = purchase if isinstance(purchase, dict) else {}
    kinds = {"basket_id": "basket", "order_id": "order"}
    found = [kind for name, kind in kinds.items() if name in names]
    return found[0] if len(found) == 1 else None


class Purchase(
    RootModel[
        Annotated[
            Annotated[Basket, Tag("basket")] | Annotated[Order, Tag("order")],
            Discriminator(
                _kind,
                custom_error_type="no_purchase",
                custom_error_message="a basket has a basket_id, a shop's order an order_id",
            ),
        ]
    ]
):
    """A household's basket, or a shop's order."""


class TakenPurchase(BaseModel):
    """A purchase that is on disk."""

    event_key: UUID = Field(description="Key of the event.")
    is_repeated: bool = Field(description="Whether the event had been taken before.")


class PurchasedMinute(BaseModel):
    """What was taken in within a minute."""

    minute: datetime = Field(description="Its beginning.", examples=["2026-11-27T14:03:00Z"])
    purchases: int = Field(
        description="Purchases received; one that replaces another counts again.", examples=[12]
    )
    value: float = Field(description="Dollars that were paid for them.", examples=[431.55])


class LatelyPurchased(BaseModel):
    """What was taken in of a domain, and how far live rows are behind."""

    domain: str = Field(
        description="Domain: household for baskets, store for orders.", examples=["household"]
    )
    since: datetime = Field(
        description="From when on purchases are counted: an hour ago, or later where there are so "
        "many.",
        examples=["2026-11-27T13:03:00Z"],
    )
    minutes: list[PurchasedMinute] = Field(
        description="By the minute, the earliest first; minutes without a purchase are left out."
    )
    waiting: int | None = Field(
        description="Purchases that live rows do not have yet, among the next 20,000 lines; null "
        "where the release cannot be answered live.",
        examples=[0],
    )
    waiting_seconds: float | None = Field(
        description="How long the first of them has waited; 0 where none waits.", examples=[0]
    )


class LatestPurchases(BaseModel):
    """Purchases of the last hour."""

    at: datetime = Field(
        description="When they were counted.", examples=["2026-11-27T14:03:12.318214Z"]
    )
    is_computed: bool = Field(description="Whether any process computes live rows.")
    data: list[LatelyPurchased] = Field(description="By domain.")
