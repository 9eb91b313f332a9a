"""Documents about vouchers and accounts, and the parameters of their lists.

Belongs here: the documents (one field per column of a mart, in the mart's order), and what a
voucher selection takes and answers. Does not belong here: how a voucher is chosen.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    WithJsonSchema,
)

from services.api.customer.segments import SEGMENTS
from services.api.documents import (
    INTEGER_MAX,
    CalendarDay,
    Document,
    Integer,
    Money,
    MoneyOrNull,
    Page,
    PageQuery,
    Text,
    id_in_path,
)

TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
MAX_CUSTOMER_ID = 200

AccountNumber = Annotated[Integer, id_in_path("Account.", 9693465)]
AccountSort = Literal["account_number", "-account_number", "sign_up_date", "-sign_up_date"]
VoucherSort = Literal[
    "country_code", "-country_code", "voucher_amount", "-voucher_amount", "times_used",
    "-times_used", "share", "-share",
]  # fmt: skip
SegmentName = Literal["frequency_segment", "recency_segment"]


def _timestamp(value: object) -> datetime:
    with suppress(ValueError, OverflowError):
        if isinstance(value, str) and TIMESTAMP.fullmatch(text := value.upper()):
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    raise ValueError("Input should be an ISO 8601 timestamp such as 2018-05-03T00:00:00Z")


def _customer_id(value: object) -> int | str:
    number = _whole(value)
    if isinstance(number, int) and not isinstance(number, bool):
        return number
    if isinstance(value, str) and 0 < len(value) <= MAX_CUSTOMER_ID:
        return value
    raise ValueError(
        f"Input should be a whole number, or text of 1 to {MAX_CUSTOMER_ID} characters"
    )


def _whole(value: object) -> object:
    # To JSON 15 and 15.0 are one number.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Timestamp = Annotated[
    datetime,
    PlainValidator(_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Orders = Annotated[StrictInt, Field(ge=0, le=INTEGER_MAX), BeforeValidator(_whole)]
CustomerId = Annotated[
    int | str,
    PlainValidator(_customer_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer"},
                {"type": "string", "minLength": 1, "maxLength": MAX_CUSTOMER_ID},
            ]
        }
    ),
]


class Broadband(Document):
    """A broadband line of an account."""

    account_number: int = Field(description="Account.", examples=[9693465])
    service_number: int = Field(description="Broadband line.", examples=[501])
    package: str | None = Field(description="Name of the tariff.", examples=["Fibre 100"])
    speed_mbps: int | None = Field(description="Megabits per second.", examples=[100])
    monthly_price: MoneyOrNull = Field(description="Price per month.", examples=[29.9])
    start_date: date | None = Field(description="First day of the line.", examples=["2022-01-08"])
    end_date: date | None = Field(
        description="Last day of the line; null while it runs.", examples=[None]
    )
    is_running: bool = Field(description="Whether the line has no last day.", examples=[True])


class Cashback(Document):
    """What an account spent with its cashback card in a month, and what it got back."""

    account_number: int = Field(description="Account.", examples=[9693465])
    cashback_month: date = Field(description="First day of the month.", examples=["2022-02-01"])
    card_spend: MoneyOrNull = Field(
        description="Spent with the card in the month.", examples=[412.5]
    )
    cashback_amount: MoneyOrNull = Field(description="Given back for it.", examples=[4.13])


class InitialService(Document):
    """A service that an account ordered at sign-up."""

    account_number: int = Field(description="Account.", examples=[9693465])
    service: str = Field(
        description="electricity, gas, broadband, mobile or insurance.", examples=["electricity"]
    )
    quantity: int | None = Field(description="How many were ordered.", examples=[1])
    ordered_date: date | None = Field(description="Day of the order.", examples=["2021-12-20"])


class Account(Document):
    """An account of the utility that is a customer's, now or in the past."""

    account_number: int = Field(description="Account.", examples=[9693465])
    account_status: str | None = Field(
        description="Status, as the source spells it.", examples=["Live"]
    )
    sign_up_date: date | None = Field(description="Day of sign-up.", examples=["2021-12-20"])
    churn_date: date | None = Field(
        description="Day the customer left; null for who stays.", examples=[None]
    )
    first_service_live_date: date | None = Field(
        description="First day that any service ran.", examples=["2022-01-08"]
    )
    end_of_onboarding_period: date | None = Field(
        description="Last day of onboarding.", examples=["2022-04-08"]
    )
    sign_up_source: str | None = Field(
        description="Where the customer signed up.", examples=["web"]
    )
    property_occupier_status_at_sign_up: str | None = Field(
        description="Whether the customer owned or rented the home.", examples=["owner"]
    )
    referral_type: str | None = Field(description="Kind of referral.", examples=["friend"])
    referral_type_code: str | None = Field(
        description="Code of the kind of referral.", examples=["FR"]
    )
    referrers_account_number: int | None = Field(
        description="Account of the customer who made the referral; null where nobody did.",
        examples=[9000001],
    )


class CleaningOutcome(Document):
    """How many raw voucher assignments met an outcome of cleaning."""

    outcome: str = Field(
        description="kept, or the reason why rows were dropped.", examples=["kept"]
    )
    rows: int = Field(
        description="Raw rows with this outcome, 0 where there are none.", examples=[210872]
    )
    is_kept: bool = Field(description="Whether the rows count.", examples=[True])


class RankedVoucher(Document):
    """A voucher amount of a country and segment, and its place among the amounts there."""

    country_code: str = Field(description="Name of the country.", examples=["Peru"])
    segment_name: str = Field(
        description="What the segment is by; country for the country as a whole.",
        examples=["recency_segment"],
    )
    segment: str = Field(
        description="The segment; all for the country as a whole.", examples=["180+"]
    )
    voucher_amount: Money = Field(description="Value of the voucher.", examples=[2640.0])
    times_used: int = Field(
        description="Assignments of the amount in the country and segment.", examples=[36000]
    )
    share: float = Field(
        description="Times used ÷ all assignments with a voucher in the country and segment.",
        examples=[0.62],
    )
    rank: int = Field(
        description="1 for the amount used most; of two used alike the larger comes first.",
        examples=[1],
    )


class RankingPage(Page):
    """A page of voucher amounts by country and segment."""

    data: list[RankedVoucher]


class CleaningPage(Page):
    """A page of outcomes of cleaning."""

    data: list[CleaningOutcome]


class AccountPage(Page):
    """A page of accounts."""

    data: list[Account]


class BroadbandPage(Page):
    """A page of an account's broadband lines, by number."""

    data: list[Broadband]


class InitialServicePage(Page):
    """A page of the services that an account ordered at sign-up, by name."""

    data: list[InitialService]


class CashbackPage(Page):
    """A page of an account's months with a cashback card, the earliest first."""

    data: list[Cashback]


class VouchersQuery(PageQuery):
    """Which voucher amounts, in which order."""

    country_code: Text | None = Field(
        default=None, description="Only this country; case does not matter."
    )
    segment_name: Literal["country", "frequency_segment", "recency_segment"] | None = Field(
        default=None, description="Only segments by this; country for countries as a whole."
    )
    segment: Text | None = Field(
        default=None, description="Only this segment, such as 5-13; all for a country as a whole."
    )
    sort: VoucherSort = Field(
        default="country_code",
        description="Order; with a minus, descending. Ties go by country, segment and rank.",
    )


class AccountsQuery(PageQuery):
    """Which accounts, in which order."""

    account_status: Text | None = Field(default=None, description="Only this status.")
    sign_up_source: Text | None = Field(
        default=None, description="Only accounts that signed up there."
    )
    signed_up_from: CalendarDay | None = Field(
        default=None, description="Only sign-ups on this day or later."
    )
    signed_up_to: CalendarDay | None = Field(
        default=None, description="Only sign-ups on this day or earlier."
    )
    is_churned: bool | None = Field(
        default=None, description="Only accounts that left (true), or that stay."
    )
    sort: AccountSort = Field(
        default="account_number",
        description="Order; with a minus, descending. Ties go by account_number.",
    )


class SelectQuery(BaseModel):
    """How much a voucher selection tells."""

    model_config = ConfigDict(extra="forbid")

    explain: bool = Field(default=False, description="Tell why this voucher was chosen.")


class SelectRequest(BaseModel):
    """The customer to choose a voucher for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "customer_id": 123,
                    "country_code": "Peru",
                    "last_order_ts": "2018-05-03 00:00:00",
                    "first_order_ts": "2017-05-03 00:00:00",
                    "total_orders": 15,
                    "segment_name": "recency_segment",
                }
            ]
        },
    )

    customer_id: CustomerId = Field(
        description="The customer, as a number or text; the choice does not depend on it."
    )
    country_code: Text = Field(description="The customer's country; case does not matter.")
    last_order_ts: Timestamp = Field(
        description="Last order: ISO 8601, with T or a blank, UTC where there is no offset."
    )
    first_order_ts: Timestamp = Field(description="First order, likewise.")
    total_orders: Orders = Field(description="Orders so far.")
    segment_name: SegmentName = Field(
        description="What to choose by: frequency_segment is by total_orders "
        f"({', '.join(SEGMENTS['frequency_segment'])}), recency_segment by whole days since the "
        f"last order ({', '.join(SEGMENTS['recency_segment'])})."
    )
    as_of: Timestamp | None = Field(
        default=None, description="When recency is measured, likewise; now where not given."
    )


class Selected(BaseModel):
    """The voucher to offer."""

    model_config = ConfigDict(extra="forbid")

    voucher_amount: Money = Field(
        description="Amount; without decimals where it is whole.", examples=[2640]
    )


class RunnerUp(BaseModel):
    """An amount that was used less."""

    model_config = ConfigDict(extra="forbid")

    voucher_amount: Money = Field(description="Amount.", examples=[3520])
    times_used: int = Field(description="Assignments of it.", examples=[13215])
    share: float = Field(description="Times used ÷ all assignments there.", examples=[0.24])
    rank: int = Field(description="Its place, 2 and on.", examples=[2])


class Explained(BaseModel):
    """The voucher to offer, and why this one."""

    model_config = ConfigDict(extra="forbid")

    voucher_amount: Money = Field(
        description="Amount; without decimals where it is whole.", examples=[2640]
    )
    country_code: str = Field(description="Country as the data spell it.", examples=["Peru"])
    segment_name: SegmentName = Field(
        description="What was asked to choose by.", examples=["recency_segment"]
    )
    segment: str | None = Field(
        description="Segment of the customer; null for one who is in none.", examples=["180+"]
    )
    basis: Literal["segment", "country"] = Field(
        description="Whether the amount is the one used most in the segment, or, for a customer in "
        "no segment or in one without assignments, in the country.",
        examples=["segment"],
    )
    recency_days: int = Field(
        description="Whole days from the last order to as_of.", examples=[2920]
    )
    as_of: str = Field(
        description="When recency was measured, UTC.", examples=["2026-05-01T00:00:00Z"]
    )
    times_used: int = Field(description="Assignments of the amount there.", examples=[36104])
    share: float = Field(
        description="Times used ÷ all assignments with a voucher there.", examples=[0.62]
    )
    runners_up: list[RunnerUp] = Field(
        description="The amounts that follow it there, the one used most first; ten at most."
    )
