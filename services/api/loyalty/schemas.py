"""Documents about members and promotions, and the parameters of their lists.

Documents are made from the marts' contracts. PostgreSQL serialises the answers; a test checks that
they match.
"""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from services.api.documents import (
    MAX_LIMIT,
    PageQuery,
    document_of,
    page_of,
    sorted_by,
    sorted_by_any,
    which_ids,
)
from services.common.values import Codes, Email, EmailInQuery, Names, Text

EmailInPath = Annotated[
    Email,
    Path(description="Email; case does not matter.", examples=["mossynumbat_lover1@example.net"]),
]
Promotion = Annotated[Text, Path(description="Promotion.", examples=["BilbyMug"])]


Conversions = document_of("loyalty", "conversions")
LoyaltyCleaningReport = document_of("loyalty", "loyalty_cleaning_report")
Members = document_of("loyalty", "members")
PromotionFunnel = document_of("loyalty", "promotion_funnel")
LoyaltyCleaningReportPage = page_of(
    LoyaltyCleaningReport, "A page of datasets and outcomes of cleaning."
)
MembersPage = page_of(Members, "A page of members, by email.")
PromotionFunnelPage = page_of(PromotionFunnel, "A page of promotions and their channels.")
ConversionsPage = page_of(Conversions, "A page of clicks, baskets and purchases.")


class MembersQuery(PageQuery):
    """Which members, in which order."""

    ids: Codes[EmailInQuery] = Field(
        default=None, max_length=MAX_LIMIT, description=which_ids("these emails")
    )
    joined_by: Codes[Literal["list", "purchase"]] = Field(
        default=None, description="Only members who joined by the loyalty list, or by a purchase."
    )
    gender: Names[Text] = Field(default=None, description="Only these genders, F or M.")
    sort: Annotated[str, sorted_by("email", "joined_by", "gender")] = Field(
        default="email", description="Order; with a minus, descending. Ties go by email."
    )


class LoyaltyCleaningQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("loyalty", "loyalty_cleaning_report")] = Field(
        default="dataset",
        description="Order; with a minus, descending. Ties go by dataset and outcome.",
    )


class FunnelQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("loyalty", "promotion_funnel")] = Field(
        default="channel", description="Order; with a minus, descending. Ties go by channel."
    )


class PromotionsQuery(PageQuery):
    """Which promotions and channels, in which order."""

    promotion: Names[Text] = Field(default=None, description="Only these promotions.")
    channel: Names[Text] = Field(
        default=None, description='Only these channels, such as Instagram or "no click".'
    )
    sort: Annotated[str, sorted_by_any("loyalty", "promotion_funnel")] = Field(
        default="promotion",
        description="Order; with a minus, descending. Ties go by promotion and channel.",
    )


class ConversionsQuery(PageQuery):
    """Which clicks, baskets and purchases, in which order."""

    conversion_type: Codes[Literal["click", "basket", "purchase"]] = Field(
        default=None, description="Only these kinds."
    )
    email: EmailInQuery | None = Field(
        default=None, description="Only this person's; case does not matter."
    )
    sort: Annotated[str, sorted_by("conversion_id", "conversion_type")] = Field(
        default="conversion_id",
        description="Order; with a minus, descending. Ties go by conversion_id.",
    )
