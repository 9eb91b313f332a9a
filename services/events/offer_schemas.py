"""Requests for offers over HTTP, and their answers."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from services.common.problems import Problem
from services.common.values import Department, Id, Truth, UtcMoment, read_as
from services.events.coupons.instant import Question
from services.scoring.schemas import EXACT, Explanation

MAX_OFFERS = 1_000
MAX_LATEST = 100


def _not_blank(event_id: str) -> str:
    if not event_id.strip():
        raise ValueError("An event_id is not blank")
    return event_id


# As it comes: over MQTT, too, no letter of an id is changed.
EventId = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_not_blank)]


class OfferRequest(BaseModel):
    """A customer who is in front of something that can show an offer."""

    model_config = EXACT | ConfigDict(
        json_schema_extra={"examples": [{"customer_id": 2, "department": "Men"}]}
    )

    customer_id: Id = Field(description="Customer.", examples=[2])
    department: Department | None = Field(
        default=None,
        description="Only coupons of this department; Sports means Sport. Without it the best "
        "of all departments is offered.",
        examples=["Men"],
    )
    at: UtcMoment | None = Field(
        default=None,
        description="When, in UTC without a zone of its own; now, unless given. Coupons must be "
        "valid on its day at the shop.",
        examples=["2026-11-22T10:15:00Z"],
    )
    event_id: EventId | None = Field(
        default=None,
        description="Name of this event: sent again, it is the same decision; so it is if it "
        "came over MQTT with this event-id. Without it every request is an event of its own.",
        examples=["till-7-000123"],
    )

    def question(self) -> Question:
        """The same for `InstantOffers`."""
        return Question(self.customer_id, self.department, self.at, self.event_id)


class OfferBatchRequest(RootModel[list[OfferRequest]]):
    """Requests to decide one by one."""

    root: list[OfferRequest] = Field(max_length=MAX_OFFERS)


class BatchOfferQuery(BaseModel):
    """Whether it counts."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Truth = Field(default=False, description="Decide, and write nothing.")


class OfferQuery(BatchOfferQuery):
    """Whether it counts, and how much an answer explains."""

    explain: Truth = Field(
        default=False, description="Say what each feature added to the likelihood."
    )


class OfferedCoupon(BaseModel):
    """A coupon, as over MQTT in the compact form."""

    id: str = Field(description="Coupon.", examples=["22"])
    type: str = Field(
        description="buy_more, buy_all, just_discount or department.", examples=["department"]
    )
    department: str = Field(description="Department.", examples=["Men"])
    discount: float = Field(description="Percent off the price.", examples=[49.0])
    how_many: int | None = Field(
        description="Items to buy for the discount; -1 for coupons of a whole department.",
        examples=[-1],
    )
    start_date: date = Field(description="First day.", examples=["2026-11-01"])
    end_date: date = Field(description="Last day.", examples=["2026-11-30"])
    products_available: int = Field(description="How many products it is for.", examples=[588])
    products_link: str = Field(
        description="Path of its products in the API.", examples=["/v1/coupons/22/products"]
    )


class OfferExplanation(Explanation):
    """Why the best coupon has its likelihood."""

    coupon_id: int = Field(description="That coupon, offered or not.", examples=[22])
    likelihood: float = Field(description="Its likelihood.", examples=[0.31])


class Offer(BaseModel):
    """What was decided, and on what it rests."""

    outcome: Literal["offer", "no offer"]
    reason: str | None = Field(
        description="Why there is no offer.", examples=["no coupon above 0.2"]
    )
    customer_id: int = Field(description="Customer.", examples=[2])
    department: str | None = Field(
        description="Department asked for, else that of the best coupon; null if no department "
        "has one.",
        examples=["Men"],
    )
    at: datetime = Field(description="When, to the second.", examples=["2026-11-22T10:15:00Z"])
    day: date = Field(description="That day at the shop.", examples=["2026-11-22"])
    coupon: OfferedCoupon | None = Field(
        description="Coupon offered; null without an offer, or if an earlier decision's coupon "
        "is in the release no more."
    )
    likelihood: float | None = Field(
        description="Of the best coupon, 0 to 1, offered or not; null without any.",
        examples=[0.31],
    )
    threshold: float | None = Field(
        description="Likelihood above which a coupon is offered.", examples=[0.2]
    )
    release: int | None = Field(description="Release of the store.", examples=[1])
    model: str | None = Field(description="Model that scored.", examples=["20261031-0af0f104418e"])
    event_key: UUID | None = Field(
        description="Key of the recorded event; null if nothing is recorded."
    )
    is_repeated: bool = Field(description="Whether the event had been decided before.")
    explanation: OfferExplanation | None = Field(
        default=None,
        description="With explain=true; null without any coupon, or if release or model have "
        "changed since the decision.",
    )


class LatestOffersQuery(BaseModel):
    """How many of the latest decisions."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MAX_LATEST), read_as("integer")] = Field(
        default=20, description="Decisions at most, the newest first.", examples=[20]
    )


class DecidedOffer(BaseModel):
    """A decision as it is recorded."""

    event_key: UUID = Field(description="Key of the event.")
    outcome: Literal["offer", "no offer"]
    reason: str | None = Field(
        description="Why there is no offer.", examples=["no coupon above 0.2"]
    )
    customer_id: int = Field(description="Customer.", examples=[2])
    department: str | None = Field(
        description="Department; null if it is not known.", examples=["Men"]
    )
    at: datetime = Field(description="When the event was.", examples=["2026-11-22T10:15:00Z"])
    decided_at: datetime = Field(
        description="When it was decided.", examples=["2026-11-22T10:15:00.123456Z"]
    )
    coupon_id: int | None = Field(description="Coupon offered.", examples=[22])
    likelihood: float | None = Field(
        description="Of the best coupon, 0 to 1, offered or not; null without any.",
        examples=[0.31],
    )
    threshold: float | None = Field(
        description="Likelihood above which a coupon was offered.", examples=[0.2]
    )
    release: int | None = Field(description="Release of the store.", examples=[1])
    model: str | None = Field(description="Model that scored.", examples=["20261031-0af0f104418e"])


class LatestOffers(BaseModel):
    """The latest decisions."""

    data: list[DecidedOffer]


class OfferResult(BaseModel):
    """The answer to one request of several, or its problem."""

    offer: Offer | None
    problem: Problem | None
