"""Documents about members and promotions, and the parameters of their lists.

Documents are made from the marts' contracts. PostgreSQL serialises the answers; a test checks that
they match.
"""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from services.api.documents import PageQuery, document_of, page_of
from services.common.values import Email, EmailInQuery, Text

EmailInPath = Annotated[
    Email, Path(description="Email; case does not matter.", examples=["anna@example.org"])
]
Promotion = Annotated[Text, Path(description="Promotion.", examples=["Summer"])]


Conversions = document_of("loyalty", "conversions")
Members = document_of("loyalty", "members")
PromotionFunnel = document_of("loyalty", "promotion_funnel")
MembersPage = page_of(Members, "A page of members, by email.")
PromotionFunnelPage = page_of(PromotionFunnel, "A page of promotions and their channels.")
ConversionsPage = page_of(Conversions, "A page of clicks, baskets and purchases.")


class MembersQuery(PageQuery):
    """Which members."""

    joined_by: Literal["list", "purchase"] | None = Field(
        default=None, description="Only members who joined by the loyalty list, or by a purchase."
    )
    gender: Text | None = Field(default=None, description="Only this gender, F or M.")


class PromotionsQuery(PageQuery):
    """Which promotions and channels."""

    promotion: Text | None = Field(default=None, description="Only this promotion.")
    channel: Text | None = Field(
        default=None, description='Only this channel, such as Instagram or "no click".'
    )


class ConversionsQuery(PageQuery):
    """Which clicks, baskets and purchases."""

    conversion_type: Literal["click", "basket", "purchase"] | None = Field(
        default=None, description="Only this kind."
    )
    email: EmailInQuery | None = Field(
        default=None, description="Only this person's; case does not matter."
    )
