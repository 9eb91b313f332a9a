"""Documents about members and promotions, and the parameters of their lists.

Belongs here: the documents (one field per column of a mart, in the mart's order). Does not belong
here: serialisation of answers, which PostgreSQL does; a test holds that both are the same.
"""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import AfterValidator, Field

from services.api.documents import (
    Document,
    Money,
    MoneyOrNull,
    Page,
    PageQuery,
    Text,
    UtcTimeOrNull,
)

# As the data have it: case and blanks around do not matter.
Email = Annotated[Text, AfterValidator(lambda email: email.strip().lower())]
EmailInPath = Annotated[
    Email, Path(description="Email; case does not matter.", examples=["anna@example.org"])
]
Promotion = Annotated[Text, Path(description="Promotion.", examples=["Summer"])]


class Conversion(Document):
    """A click, basket or purchase that a promotion led to."""

    conversion_id: int = Field(
        description="Number of the row, from 1, by promotion, kind, email and the rest; files "
        "have no time to go by.",
        examples=[1],
    )
    promotion: str = Field(description="Promotion.", examples=["Summer"])
    conversion_type: str = Field(description="click, basket or purchase.", examples=["basket"])
    email: str = Field(description="Email, in lower case.", examples=["anna@example.org"])
    channel: str | None = Field(
        description="Where the ad was clicked, as written; null for baskets and purchases.",
        examples=[None],
    )
    items: str | None = Field(
        description="Numbers of the items in the basket or bought, such as 6;14; null for clicks.",
        examples=["6;14"],
    )
    items_count: int | None = Field(
        description="Number of those items; null where there are none.", examples=[2]
    )
    total: MoneyOrNull = Field(
        description="Total of the purchase, dollars; null for clicks and baskets.", examples=[None]
    )
    converted_at: UtcTimeOrNull = Field(
        description="When it came in live; null where a file has it, as files have no time.",
        examples=["2026-11-20T10:00:00.25"],
    )


class Member(Document):
    """A member of the fan club."""

    email: str = Field(description="Email, in lower case.", examples=["anna@example.org"])
    fb_user: str | None = Field(
        description="User name on Facebook; null where unknown.", examples=["anna.fb"]
    )
    insta_user: str | None = Field(
        description="User name on Instagram; null where unknown.", examples=["anna_insta"]
    )
    gender: str | None = Field(description="As listed, F or M; null where unknown.", examples=["F"])
    joined_by: str = Field(
        description="list or purchase; list for who is on the list and bought as well.",
        examples=["list"],
    )
    joined_at: UtcTimeOrNull = Field(
        description="When the first row came in live that made the person a member; null where "
        "only files say so, as they have no time.",
        examples=[None],
    )


class PromotionChannel(Document):
    """What a promotion led to on a channel: clicks, baskets, purchases."""

    promotion: str = Field(description="Promotion.", examples=["Summer"])
    channel: str = Field(
        description='Channel as written in the clicks, or "no click".', examples=["Instagram"]
    )
    clicks: int = Field(description="Clicks on the channel.", examples=[88])
    baskets: int = Field(description="Baskets of the channel's persons.", examples=[70])
    purchases: int = Field(description="Purchases of the channel's persons.", examples=[20])
    revenue: Money = Field(description="Total of those purchases, dollars.", examples=[251.3])
    basket_rate: float | None = Field(
        description="Baskets ÷ clicks; null where there are no clicks.", examples=[0.795]
    )
    purchase_rate: float | None = Field(
        description="Purchases ÷ clicks; null where there are no clicks.", examples=[0.227]
    )
    extra_codes_sent: int = Field(
        description="Extra promotion codes, one per promotion and member, under the person's "
        "channel: those sent live, and one for each member by list who clicked in a file.",
        examples=[6],
    )


class MemberPage(Page):
    """A page of members, by email."""

    data: list[Member]


class FunnelPage(Page):
    """A page of promotions and their channels."""

    data: list[PromotionChannel]


class ConversionPage(Page):
    """A page of clicks, baskets and purchases."""

    data: list[Conversion]


class MembersQuery(PageQuery):
    """Which members."""

    joined_by: Literal["list", "purchase"] | None = Field(
        default=None, description="Only members by the loyalty list, or by a purchase."
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
    email: Email | None = Field(
        default=None, description="Only this person's; case does not matter."
    )
