"""Requests and answers of the scorer, and their limits.

Values are read by the table of types, as everywhere; an unknown field is refused. A field that the
marts may leave empty may be null, but must be present.
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, model_validator

from pollux.names import read_name
from pollux.types import LABEL_LENGTH
from services.common.values import Id, Integer, Number, Truth, read_as

MAX_COUPONS = 1_000
MAX_REQUESTS = 1_000
MAX_PAIRS = 10_000

Count = Annotated[int, Field(ge=0, le=2**63 - 1), read_as("id")]
# The marts may leave these empty.
MaybeText = Annotated[
    Annotated[str, Field(max_length=LABEL_LENGTH)] | None, BeforeValidator(read_name)
]
MaybeInteger = Annotated[Integer | None, read_as("integer")]
MaybeNumber = Annotated[Number | None, read_as("number")]
MaybeCount = Annotated[Count | None, read_as("id")]

EXACT = ConfigDict(extra="forbid", strict=True)


class Customer(BaseModel):
    """A customer, as in `customer_info`."""

    model_config = EXACT

    customer_id: Id = Field(description="Customer.", examples=[127])
    gender: MaybeText = Field(description="F or M.", examples=["F"])
    age: MaybeInteger = Field(description="Years.", examples=[46])
    mean_buy_price: MaybeNumber = Field(
        description="Mean price paid for an item, dollars; null where nothing was bought.",
        examples=[17.35],
    )
    total_coupons_used: Count = Field(description="Items bought with a coupon.", examples=[21])
    mean_discount_received: MaybeNumber = Field(
        description="Mean discount of an item, percent; null where nothing was bought.",
        examples=[2.4],
    )
    unique_products_bought: Count = Field(description="Distinct products bought.", examples=[310])
    unique_products_bought_with_coupons: Count = Field(
        description="Distinct products bought with a coupon.", examples=[19]
    )
    total_items_bought: Count = Field(description="Items bought.", examples=[402])


class Coupon(BaseModel):
    """A coupon, as in `coupon_info`, without its dates."""

    model_config = EXACT

    coupon_id: Id = Field(description="Coupon.", examples=[22])
    coupon_type: MaybeText = Field(
        description="buy_more, buy_all, just_discount or department; any other is scored as "
        "unknown.",
        examples=["buy_more"],
    )
    department: MaybeText = Field(
        description="Boys, Girls, Men, Sport (or Sports), Women; any other is scored as unknown.",
        examples=["Men"],
    )
    discount: MaybeNumber = Field(description="Percent off the price.", examples=[14])
    how_many_products_required: MaybeInteger = Field(
        description="Items to buy for the discount.", examples=[3]
    )
    product_mean_price: MaybeNumber = Field(
        description="Mean regular price of the coupon's products, dollars.", examples=[21.5]
    )
    products_available: MaybeCount = Field(description="The coupon's products.", examples=[4])


class ScoreQuery(BaseModel):
    """How much an answer explains."""

    model_config = ConfigDict(extra="forbid")

    explain: Truth = Field(
        default=False, description="Say what each feature added to every prediction."
    )


class ScoreRequest(BaseModel):
    """A customer, and the coupons to choose from."""

    model_config = EXACT

    customer: Customer
    coupons: list[Coupon] = Field(max_length=MAX_COUPONS)


class BatchRequest(RootModel[list[ScoreRequest]]):
    """Requests to answer together."""

    root: list[ScoreRequest] = Field(max_length=MAX_REQUESTS)

    @model_validator(mode="after")
    def _within_limit(self) -> "BatchRequest":
        pairs = sum(len(one.coupons) for one in self.root)
        if pairs > MAX_PAIRS:
            raise ValueError(f"{pairs} coupons in all are too many: {MAX_PAIRS} at most")
        return self


class Contribution(BaseModel):
    """What a feature added to a prediction."""

    feature: str = Field(description="Feature of the model.", examples=["discount"])
    value: str | float | None = Field(
        description="What the model was given; null if nothing that it knows.", examples=[30]
    )
    added: float = Field(
        description="What it added to the log-odds; below 0 it made use less likely.",
        examples=[0.4127],
    )
    words: str = Field(
        description="The same in words.",
        examples=["the coupon's discount is 30 %, which makes use more likely"],
    )


class Explanation(BaseModel):
    """Why a prediction is what it is, in log-odds, ln(p ÷ (1 - p)), which add up."""

    base: float = Field(
        description="Log-odds before any feature counts: the mean of the model's. With all that "
        "features added, they are the log-odds of the prediction.",
        examples=[-1.6204],
    )
    contributions: list[Contribution] = Field(
        description="What each feature added, the strongest first."
    )


class Prediction(BaseModel):
    """How likely a customer is to use a coupon."""

    coupon_id: int = Field(description="Coupon.", examples=[22])
    customer_id: int = Field(description="Customer.", examples=[127])
    prediction: float = Field(
        description="Probability, 0 to 1, that an order of the customer with an item of the "
        "coupon's department uses the coupon.",
        examples=[0.2714],
    )
    explanation: Explanation | None = Field(
        default=None, description="With explain=true; otherwise not there."
    )
