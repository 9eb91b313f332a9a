"""Values of requests: every line of docs/types.md, at every field that takes a value."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from docs.spellings import SPELLINGS, Spelling
from pollux.types import LABEL_LENGTH
from services.api.customer.schemas import AccountsQuery, SelectQuery, SelectRequest
from services.api.documents import PageQuery
from services.api.household.schemas import (
    DaysQuery,
    HouseholdKey,
    HouseholdsQuery,
    RecommendationsQuery,
    ResponsesQuery,
)
from services.api.loyalty.schemas import Promotion, PromotionsQuery
from services.api.marts.schemas import READERS, READERS_OF_SEVERAL
from services.api.store.schemas import (
    CouponId,
    CouponOffersQuery,
    CouponsQuery,
    ProductsQuery,
    StoreCustomersQuery,
)
from services.scoring.schemas import Coupon, Customer
from tests.services.scoring.bodies import COUPON, CUSTOMER

SELECTION = {
    "customer_id": 123, "country_code": "Peru", "last_order_ts": "2018-05-03 00:00:00",
    "first_order_ts": "2017-05-03 00:00:00", "total_orders": 15, "segment_name": "recency_segment",
}  # fmt: skip
NOT_NEGATIVE = {
    "total_orders", "total_coupons_used", "unique_products_bought", "products_available",
    "unique_products_bought_with_coupons", "total_items_bought", "min_discount", "min_age",
    "max_age", "from_day", "to_day",
}  # fmt: skip
# The type of every field of a body.
BODIES: list[tuple[type[BaseModel], dict[str, Any], dict[str, str]]] = [
    (
        SelectRequest, SELECTION,
        {
            "customer_id": "label", "country_code": "label", "last_order_ts": "timestamp",
            "first_order_ts": "timestamp", "total_orders": "integer", "as_of": "timestamp",
        },
    ),
    (
        Customer, CUSTOMER,
        {
            "customer_id": "id", "gender": "label", "age": "integer", "mean_buy_price": "number",
            "total_coupons_used": "id", "mean_discount_received": "number",
            "unique_products_bought": "id", "unique_products_bought_with_coupons": "id",
            "total_items_bought": "id",
        },
    ),
    (
        Coupon, COUPON,
        {
            "coupon_id": "id", "coupon_type": "label", "department": "label", "discount": "number",
            "how_many_products_required": "integer", "product_mean_price": "number",
            "products_available": "id",
        },
    ),
]  # fmt: skip
CHOICES = {"segment_name"}
# The type of every filter; those that are left out take one of a few words.
QUERIES: list[tuple[type[BaseModel], dict[str, str]]] = [
    (SelectQuery, {"explain": "boolean"}),
    (AccountsQuery, {
        "account_status": "label", "sign_up_source": "label", "signed_up_from": "date",
        "signed_up_to": "date", "is_churned": "boolean",
    }),
    (HouseholdsQuery, {
        "has_demographics": "boolean", "min_total_sales": "money", "max_total_sales": "money",
    }),
    (DaysQuery, {"from_day": "integer", "to_day": "integer"}),
    (ResponsesQuery, {"has_redeemed": "boolean"}),
    (CouponsQuery, {"valid_on": "date", "min_discount": "integer", "product_id": "id"}),
    (CouponOffersQuery, {"from_day": "date", "to_day": "date"}),
    (ProductsQuery, {
        "category": "label", "vendor": "label", "min_price": "money", "max_price": "money",
    }),
    (StoreCustomersQuery, {"gender": "label", "min_age": "integer", "max_age": "integer"}),
    (PromotionsQuery, {"promotion": "label", "channel": "label"}),
]  # fmt: skip
# Keys in a path, and the columns of any mart.
ALONE: list[tuple[Any, str]] = [
    (HouseholdKey, "id"), (CouponId, "id"), (Promotion, "label"), (READERS_OF_SEVERAL[int], "id"),
    (READERS[float], "number"), (READERS[bool], "boolean"), (READERS_OF_SEVERAL[str], "label"),
    (READERS_OF_SEVERAL[date], "date"), (READERS[datetime], "timestamp"),
]  # fmt: skip


def the_same(found: object, value: object) -> bool:
    if isinstance(value, str):
        # Blanks around a name do not count.
        return found == value.strip()
    if isinstance(found, datetime) and found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return found == value and isinstance(found, type(value))


def only(value: Any) -> Any:
    """The one value of a filter that takes several."""
    while isinstance(value, list):
        (value,) = value
    return value


def check(read: Any, field: str, spelling: Spelling) -> None:
    if spelling.reason is None:
        assert the_same(only(read(spelling.written)), spelling.value)
        return
    with pytest.raises(ValidationError) as refused:
        read(spelling.written)
    error = refused.value.errors()[0]
    # Behind its name, the places in a list of values.
    assert [one for one in error["loc"] if one != 0] == ([field] if field else [])
    assert error["msg"] == f"Value error, {spelling.reason}"


def spellings(door: str, type_: str, field: str) -> Iterator[Spelling]:
    for one in getattr(SPELLINGS[type_], door):
        is_negative = isinstance(one.value, int | Decimal | float) and one.value < 0
        if not (is_negative and field in NOT_NEGATIVE):
            yield one


@pytest.mark.parametrize(
    ("model", "example", "field", "type_"),
    [
        pytest.param(model, example, field, type_, id=f"{model.__name__}.{field}")
        for model, example, fields in BODIES
        for field, type_ in fields.items()
    ],
)
def test_a_body_is_read_by_the_table(
    model: type[BaseModel], example: dict[str, Any], field: str, type_: str
) -> None:
    def read(written: object) -> object:
        found = model.model_validate_json(json.dumps(example | {field: written}))
        return getattr(found, field)

    for door in ("text", "json"):
        for spelling in spellings(door, type_, field):
            check(read, field, spelling)


def test_every_field_of_a_body_is_among_those() -> None:
    for model, _, fields in BODIES:
        assert model.model_fields.keys() == fields.keys() | (
            CHOICES if model is SelectRequest else set()
        )


@pytest.mark.parametrize(
    ("model", "field", "type_"),
    [
        pytest.param(model, field, type_, id=f"{model.__name__}.{field}")
        for model, fields in QUERIES
        for field, type_ in fields.items()
    ],
)
def test_a_query_is_read_by_the_table(model: type[BaseModel], field: str, type_: str) -> None:
    def read(written: object) -> object:
        return getattr(model.model_validate({field: written}), field)

    for spelling in spellings("text", type_, field):
        check(read, field, spelling)
    # A filter without a value is no filter at all: never the whole list.
    with pytest.raises(ValidationError):
        read("")


@pytest.mark.parametrize(("one", "type_"), ALONE, ids=lambda one: str(one)[:40])
def test_a_key_and_a_filter_of_any_mart_are_read_by_the_table(one: Any, type_: str) -> None:
    adapter = one if isinstance(one, TypeAdapter) else TypeAdapter(one)
    takes_several = one in READERS_OF_SEVERAL.values()
    for spelling in spellings("text", type_, ""):
        # Several values have commas between them.
        if not (takes_several and "," in str(spelling.written)):
            check(adapter.validate_python, "", spelling)


@pytest.mark.parametrize(
    ("written", "value"), [("12.5", "12.5"), ("1e3", "1000"), (" -.125 ", "-0.125")]
)
def test_a_decimal_of_any_mart_keeps_its_digits(written: str, value: str) -> None:
    assert READERS[Decimal].validate_python(written) == Decimal(value)
    for wrong in ("1,000", "NaN", "1e400", ""):
        with pytest.raises(ValidationError):
            READERS[Decimal].validate_python(wrong)


def test_the_page_is_asked_for_by_the_table() -> None:
    assert PageQuery.model_validate({"limit": "20.0"}).limit == 20
    assert RecommendationsQuery.model_validate({"exclude": ["7.0", "08"]}).exclude == [7, 8]
    for wrong in ("2.5", "1,000", "1001", "0", ""):
        with pytest.raises(ValidationError):
            PageQuery.model_validate({"limit": wrong})


@pytest.mark.parametrize("blank", ["", " ", None])
def test_a_blank_in_a_body_is_null(blank: str | None) -> None:
    scored = Customer.model_validate_json(json.dumps(CUSTOMER | {"age": blank}))
    assert scored.age is None
    chosen = SelectRequest.model_validate_json(json.dumps(SELECTION | {"as_of": blank}))
    assert chosen.as_of is None
    for model, example, field in (
        (Customer, CUSTOMER, "customer_id"), (SelectRequest, SELECTION, "total_orders"),
        (SelectRequest, SELECTION, "last_order_ts"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=field):
            model.model_validate_json(json.dumps(example | {field: blank}))


def test_the_limits_of_the_landing_zone_stand_in_the_description() -> None:
    schema = SelectRequest.model_json_schema()["properties"]
    assert schema["country_code"]["maxLength"] == LABEL_LENGTH
    assert schema["total_orders"]["maximum"] == 999_999_999
