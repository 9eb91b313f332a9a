"""Documents about vouchers and accounts, and the parameters of their lists.

Documents of marts are made from their contracts. The choice of a voucher is in `vouchers`.
"""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from pollux.types import LABEL_LENGTH
from services.api.documents import (
    IdsQuery,
    Money,
    PageQuery,
    UtcTime,
    document_of,
    page_of,
    sorted_by,
    sorted_by_any,
)
from services.common.contracts import contract_of
from services.common.values import (
    CalendarDay,
    Codes,
    Count,
    Id,
    Names,
    Text,
    Truth,
    UtcMoment,
    read_as,
)

AccountNumber = Annotated[Id, Path(description="Account.", examples=[9693465])]
SegmentName = Literal["frequency_segment", "recency_segment"]
CustomerId = Annotated[
    Text,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer"},
                {"type": "string", "minLength": 1, "maxLength": LABEL_LENGTH},
            ]
        }
    ),
]


CustomerBroadband = document_of("customer", "customer_broadband")
CustomerCashback = document_of("customer", "customer_cashback")
CustomerInitialServices = document_of("customer", "customer_initial_services")
Customers = document_of("customer", "customers")
VoucherCleaningReport = document_of("customer", "voucher_cleaning_report")
VoucherRanking = document_of("customer", "voucher_ranking")
VoucherSegments = document_of("customer", "voucher_segments")
VoucherSegmentsPage = page_of(VoucherSegments, "A page of segments, in their order.")
VoucherRankingPage = page_of(VoucherRanking, "A page of voucher amounts by country and segment.")
VoucherCleaningReportPage = page_of(VoucherCleaningReport, "A page of outcomes of cleaning.")
CustomersPage = page_of(Customers, "A page of accounts.")
CustomerBroadbandPage = page_of(
    CustomerBroadband, "A page of an account's broadband lines, by number."
)
CustomerInitialServicesPage = page_of(
    CustomerInitialServices, "A page of the services that an account ordered at sign-up, by name."
)
CustomerCashbackPage = page_of(
    CustomerCashback, "A page of an account's months with a cashback card, the earliest first."
)


class VouchersQuery(PageQuery):
    """Which voucher amounts, in which order."""

    country_code: Names[Text] = Field(
        default=None, description="Only these countries; case does not matter."
    )
    segment_name: Codes[Literal["country", "frequency_segment", "recency_segment"]] = Field(
        default=None, description="Only these kinds of segment; country for whole countries."
    )
    segment: Names[Text] = Field(
        default=None,
        description="Only these segments of /v1/vouchers/segments; all for whole countries.",
    )
    sort: Annotated[str, sorted_by("country_code", "voucher_amount", "times_used", "share")] = (
        Field(
            default="country_code",
            description="Order; with a minus, descending. Ties go by country, segment and rank.",
        )
    )


class SegmentsQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("customer", "voucher_segments")] = Field(
        default="segment_name",
        description="Order; with a minus, descending. Ties go by segment_name and position.",
    )


class CleaningQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("customer", "voucher_cleaning_report")] = Field(
        default="outcome", description="Order; with a minus, descending. Ties go by outcome."
    )


class AccountsQuery(IdsQuery):
    """Which accounts, in which order."""

    account_status: Names[Text] = Field(default=None, description="Only these statuses.")
    sign_up_source: Names[Text] = Field(
        default=None, description="Only accounts that signed up there."
    )
    signed_up_from: CalendarDay | None = Field(
        default=None, description="Only sign-ups on this day or later."
    )
    signed_up_to: CalendarDay | None = Field(
        default=None, description="Only sign-ups on this day or earlier."
    )
    is_churned: Truth | None = Field(
        default=None, description="Only customers who left (true), or who stay."
    )
    sort: Annotated[
        str, sorted_by("account_number", "sign_up_date", "account_status", "sign_up_source")
    ] = Field(
        default="account_number",
        description="Order; with a minus, descending. Ties go by account_number.",
    )


class BroadbandQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("customer", "customer_broadband")] = Field(
        default="service_number",
        description="Order; with a minus, descending. Ties go by service_number.",
    )


class InitialServicesQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("customer", "customer_initial_services")] = Field(
        default="service", description="Order; with a minus, descending. Ties go by service."
    )


class CashbackQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("customer", "customer_cashback")] = Field(
        default="cashback_month",
        description="Order; with a minus, descending. Ties go by cashback_month.",
    )


class SelectQuery(BaseModel):
    """How much a voucher selection explains."""

    model_config = ConfigDict(extra="forbid")

    explain: Truth = Field(default=False, description="Say why this voucher was chosen.")


class SelectRequest(BaseModel):
    """The customer to choose a voucher for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "customer_id": 123,
                    "country_code": "Peru",
                    "last_order_ts": "2018-05-03T00:00:00Z",
                    "first_order_ts": "2017-05-03T00:00:00Z",
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
    last_order_ts: UtcMoment = Field(
        description="Last order: ISO 8601, with T or a space, in UTC if it has no offset."
    )
    first_order_ts: UtcMoment = Field(description="First order, in the same form.")
    total_orders: Count = Field(description="Orders so far.")
    segment_name: SegmentName = Field(
        description="What to choose by: frequency_segment is by total_orders, recency_segment by "
        "whole days since the last order; /v1/vouchers/segments lists the bounds."
    )
    as_of: Annotated[UtcMoment | None, read_as("timestamp")] = Field(
        default=None, description="When recency is measured, in the same form; by default now."
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
    times_used: int = Field(description="How often it was assigned.", examples=[13215])
    share: float = Field(description="Times used ÷ all assignments there.", examples=[0.24])
    rank: int = Field(description="Its rank, from 2.", examples=[2])


class Explained(Selected):
    """The voucher to offer, and why this one."""

    country_code: str = Field(description="Country as the data spell it.", examples=["Peru"])
    segment_name: SegmentName = Field(
        description="Kind of segment in the request.", examples=["recency_segment"]
    )
    segment: str | None = Field(
        description="The customer's segment; null if there is none.",
        examples=[contract_of("customer", "voucher_ranking").column("segment").example],
    )
    basis: Literal["segment", "country"] = Field(
        description="Whether the amount is the one used most in the segment, or, for a customer in "
        "no segment or in one without assignments, in the country.",
        examples=["segment"],
    )
    recency_days: int = Field(
        description="Whole days from the last order to as_of.", examples=[2920]
    )
    as_of: UtcTime = Field(
        description="When recency was measured, UTC.", examples=["2026-05-01T00:00:00Z"]
    )
    times_used: int = Field(
        description="How often the amount was assigned there.", examples=[36104]
    )
    share: float = Field(
        description="Times used ÷ all assignments with a voucher there.", examples=[0.62]
    )
    runners_up: list[RunnerUp] = Field(
        description="The next amounts there, the most used first; ten at most."
    )
