"""Documents about households and campaigns, and the parameters of their lists.

Documents are made from the marts' contracts. PostgreSQL serialises the answers; a test checks that
they match.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticKnownError

from services.api.documents import (
    LIVE,
    MAX_LIMIT,
    Document,
    IdsQuery,
    Limit,
    PageQuery,
    document_of,
    page_of,
    sorted_by,
    sorted_by_any,
    which_ids,
)
from services.common.contracts import contract_of
from services.common.values import (
    INTEGER_MAX,
    Amount,
    Codes,
    Count,
    Id,
    Names,
    Text,
    Truth,
    read_as,
)

HouseholdKey = Annotated[Id, Path(description="Household.", examples=[1])]
Campaign = Annotated[Id, Path(description="Campaign.", examples=[18])]
Commodity = Annotated[
    Text, Path(description="Commodity, as the product data spell it.", examples=["SOUP"])
]
ProductId = Annotated[Id, Path(description="Product.", examples=[25727])]
Segment = Annotated[
    Text, Path(description="Segment of households, by its name.", examples=["Champions"])
]
Metric = Literal["support", "confidence", "lift", "leverage", "conviction"]
MOST_EXCLUDED = 100
Score = Annotated[int, Field(ge=1, le=5), read_as("integer")]


HouseholdRfm = document_of("household", "household_rfm")
HouseholdSegments = document_of("household", "household_segments")
HouseholdSegmentHistory = document_of("household", "household_segment_history")
SegmentSizes = document_of("household", "segment_sizes")
SegmentMoves = document_of("household", "segment_moves")
HhSummary = document_of("household", "hh_summary")
DailyHhSpend = document_of("household", "daily_hh_spend")
HouseholdWeeklySales = document_of("household", "household_weekly_sales")
CampaignSummary = document_of("household", "campaign_summary")
DailyCampaignSales = document_of("household", "daily_campaign_sales")
CampaignResponse = document_of("household", "campaign_response")
CampaignSegments = document_of("household", "campaign_segments")
ProductRecommendations = document_of("household", "product_recommendations")
CommodityAssociations = document_of("household", "commodity_associations")
Commodities = document_of("household", "commodities")
Products = document_of("household", "products")
PromotionEffect = document_of("household", "promotion_effect")
ProductsPage = page_of(Products, "A page of products.")
CommoditiesPage = page_of(Commodities, "A page of commodities.")
PromotionEffectPage = page_of(PromotionEffect, "A page of commodities and kinds of support.")
ProductRecommendationsPage = page_of(
    ProductRecommendations, "A page of a household's recommendations, the best first."
)
CommodityAssociationsPage = page_of(
    CommodityAssociations, "A page of a commodity's associations, the highest by the metric first."
)
HouseholdSegmentsPage = page_of(HouseholdSegments, "A page of a segment's households.")
HouseholdSegmentHistoryPage = page_of(
    HouseholdSegmentHistory, "A page of a household's periods, the earliest first."
)
SegmentSizesPage = page_of(SegmentSizes, "A page of segments, by period and position.")
SegmentMovesPage = page_of(SegmentMoves, "A page of moves, the earliest period first.")
HouseholdRfmPage = page_of(HouseholdRfm, "A page of households.")
DailyHhSpendPage = page_of(
    DailyHhSpend, "A page of a household's shopping days, the earliest first."
)
HouseholdWeeklySalesPage = page_of(
    HouseholdWeeklySales, "A page of a household's shopping weeks, the earliest first."
)
CampaignResponsePage = page_of(
    CampaignResponse, "A page of a household's responses to campaigns, by campaign."
)
CampaignSummaryPage = page_of(CampaignSummary, "A page of campaigns, by number.")
CampaignSegmentsPage = page_of(
    CampaignSegments, "A page of a campaign's segments, the most valuable first."
)
DailyCampaignSalesPage = page_of(
    DailyCampaignSales, "A page of a campaign's days, the earliest first."
)


def _told(column: str) -> Any:  # noqa: ANN401
    told = contract_of("household", "household_segments").column(column)
    return Field(description=told.description, examples=[told.example])


class HouseholdSegment(Document):
    """A household's segment at the window's end, as in household_segments."""

    name: str = _told("segment")
    since_day: int = _told("since_day")
    since_date: date = _told("since_date")
    why: str = _told("why")


class Household(HouseholdRfm):  # type: ignore[misc,valid-type]
    """A household in scope: how recently, how often and for how much it shopped; its segment."""

    segment: HouseholdSegment = Field(description="Its segment, since when and why.")


class HouseholdsQuery(IdsQuery):
    """Which households, in which order."""

    rfm_bins: Codes[Score] = Field(default=None, description="Only these bins.")
    r_score: Codes[Score] = Field(default=None, description="Only these recencies.")
    f_score: Codes[Score] = Field(default=None, description="Only these frequencies.")
    m_score: Codes[Score] = Field(default=None, description="Only these monetary values.")
    has_demographics: Truth | None = Field(
        default=None, description="Only households with a summary (true), or without."
    )
    min_total_sales: Amount | None = Field(default=None, description="Only sales of this or more.")
    max_total_sales: Amount | None = Field(default=None, description="Only sales of this or less.")
    sort: Annotated[
        str,
        sorted_by("household_key", "total_sales", "rfm_bins", "rfm_score", "last_day", "baskets"),
    ] = Field(
        default="household_key",
        description="Order; with a minus, descending. Ties go by household_key.",
    )


class PeriodsQuery(PageQuery):
    """Which periods, by their last days."""

    from_day: Count = Field(default=0, description="First day on which a period may end.")
    to_day: Count = Field(default=INTEGER_MAX, description="Last such day, included.")


class HouseholdPeriodsQuery(PeriodsQuery):
    """Which periods of a household, in which order."""

    sort: Annotated[str, sorted_by("period_end", "segment", "since_day")] = Field(
        default="period_end", description="Order; with a minus, descending. Ties go by period_end."
    )
    live: Truth = LIVE


class SegmentsQuery(PageQuery):
    """In which order segments come."""

    sort: Annotated[str, sorted_by("position", "households", "total_sales")] = Field(
        default="position", description="Order; with a minus, descending. Ties go by position."
    )


class SegmentHistoryQuery(PeriodsQuery):
    """Which segments and periods, in which order."""

    segment: Names[Text] = Field(default=None, description="Only these segments.")
    sort: Annotated[str, sorted_by("period_end", "households", "total_sales")] = Field(
        default="period_end",
        description="Order; with a minus, descending. Ties go by period_end and position.",
    )


class MovesQuery(PeriodsQuery):
    """Which moves, in which order."""

    from_segment: Names[Text] = Field(
        default=None,
        description="Only from these segments; none for households not in scope before.",
    )
    to_segment: Names[Text] = Field(default=None, description="Only to these segments.")
    sort: Annotated[str, sorted_by("period_end", "households", "total_sales")] = Field(
        default="period_end",
        description="Order; with a minus, descending. Ties go by period_end, from_segment and "
        "to_segment.",
    )


class SegmentHouseholdsQuery(PageQuery):
    """Which households of a segment, in which order."""

    r_score: Codes[Score] = Field(default=None, description="Only these recencies.")
    f_score: Codes[Score] = Field(default=None, description="Only these frequencies.")
    m_score: Codes[Score] = Field(default=None, description="Only these monetary values.")
    sort: Annotated[
        str,
        sorted_by(
            "household_key", "total_sales", "days_since_visit", "since_day", "baskets_per_day"
        ),
    ] = Field(
        default="household_key",
        description="Order; with a minus, descending. Ties go by household_key.",
    )


class DaysQuery(PageQuery):
    """Which days."""

    from_day: Count = Field(default=0, description="First day.")
    to_day: Count = Field(default=INTEGER_MAX, description="Last day, included.")


class SpendQuery(DaysQuery):
    """Which days of a household, in which order."""

    sort: Annotated[str, sorted_by_any("household", "daily_hh_spend")] = Field(
        default="day", description="Order; with a minus, descending. Ties go by day."
    )
    live: Truth = LIVE


class CampaignDaysQuery(DaysQuery):
    """Which days of a campaign, in which order."""

    sort: Annotated[str, sorted_by_any("household", "daily_campaign_sales")] = Field(
        default="day", description="Order; with a minus, descending. Ties go by day."
    )


class CampaignSegmentsQuery(PageQuery):
    """Segments of a campaign, in which order."""

    sort: Annotated[str, sorted_by_any("household", "campaign_segments")] = Field(
        default="position", description="Order; with a minus, descending. Ties go by position."
    )


class CampaignsQuery(IdsQuery):
    """Which campaigns, in which order."""

    sort: Annotated[str, sorted_by_any("household", "campaign_summary")] = Field(
        default="campaign", description="Order; with a minus, descending. Ties go by campaign."
    )


class ResponsesQuery(PageQuery):
    """Which campaigns of a household, in which order."""

    has_redeemed: Truth | None = Field(
        default=None, description="Only campaigns with a redemption (true), or without."
    )
    sort: Annotated[str, sorted_by_any("household", "campaign_response")] = Field(
        default="campaign", description="Order; with a minus, descending. Ties go by campaign."
    )


class WeeksQuery(PageQuery):
    """Which weeks, in which order."""

    from_week: Count = Field(default=0, description="First week.")
    to_week: Count = Field(default=INTEGER_MAX, description="Last week, included.")
    sort: Annotated[str, sorted_by_any("household", "household_weekly_sales")] = Field(
        default="week_no", description="Order; with a minus, descending. Ties go by week_no."
    )
    live: Truth = LIVE


class RecommendationsQuery(PageQuery):
    """Which recommendations, in which order."""

    limit: Limit = Field(default=10, alias="k", description="Products, at most.")
    only: Codes[Literal["repeat", "new"]] = Field(
        default=None, description="Only what the household bought before, or only what is new."
    )
    exclude: Codes[Id] = Field(
        default=None,
        max_length=MOST_EXCLUDED,
        description="Products to leave out, separated by commas; may be given several times.",
    )
    sort: Annotated[str, sorted_by_any("household", "product_recommendations")] = Field(
        default="rank", description="Order; with a minus, descending. Ties go by rank."
    )
    live: Truth = LIVE


def _words(value: object) -> list[str] | None:
    """The words of a text, or of several."""
    if value is None:
        return None
    texts = value if isinstance(value, list) else [value]
    return [word for text in texts for word in str(text).split()]


def _patterns(words: list[str] | None) -> list[str] | None:
    """What `ilike` finds the words by, anywhere in a text."""
    if words is None:
        return None
    escaped = (re.sub(r"[\\%_]", r"\\\g<0>", word) for word in words)
    return [f"%{word}%" for word in escaped]


Words = Annotated[
    list[Text] | None,
    BeforeValidator(_words),
    AfterValidator(_patterns),
    WithJsonSchema({"type": "string", "minLength": 1, "examples": ["condensed soup"]}),
]


class HouseholdProductsQuery(IdsQuery):
    """Which products of the households' shop, in which order."""

    text: Words = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Only products with every one of these words in their department, commodity, "
        "sub-commodity, brand or size; case does not matter, and a part of a word will do.",
    )
    department: Names[Text] = Field(default=None, description="Only these departments.")
    commodity: Names[Text] = Field(default=None, description="Only these commodities.")
    sub_commodity: Names[Text] = Field(default=None, description="Only these sub-commodities.")
    brand: Names[Text] = Field(default=None, description="Only these, National or Private.")
    section: Names[Text] = Field(default=None, description="Only these sections of the shop.")
    manufacturer: Codes[Id] = Field(default=None, description="Only these makers' numbers.")
    sort: Annotated[str, sorted_by("product_id", "section", "department", "commodity")] = Field(
        default="product_id",
        description="Order; with a minus, descending. Ties go by product_id; products without a "
        "department or commodity come last.",
    )


def _readings(names: list[list[str]]) -> list[str]:
    """Every reading of the names: those that do not exist are left out."""
    if (length := sum(len(parts) or 1 for _, *parts in names)) > MAX_LIMIT:
        bounds = {"field_type": "List", "max_length": MAX_LIMIT, "actual_length": length}
        raise PydanticKnownError("too_long", bounds)
    return [reading for name in names for reading in name]


class CommoditiesQuery(PageQuery):
    """Which commodities, in which order."""

    ids: Annotated[Names[Text], AfterValidator(_readings)] = Field(
        default=None, description=which_ids("these")
    )
    section: Names[Text] = Field(default=None, description="Only these sections of the shop.")
    sort: Annotated[str, sorted_by_any("household", "commodities")] = Field(
        default="commodity", description="Order; with a minus, descending. Ties go by commodity."
    )


class PromotionEffectsQuery(PageQuery):
    """Which commodities and kinds of support, in which order."""

    commodity: Names[Text] = Field(default=None, description="Only these commodities.")
    support: Codes[Literal["display", "mailer"]] = Field(
        default=None, description="Only a display in the store, or only a place in the mailer."
    )
    sort: Annotated[str, sorted_by_any("household", "promotion_effect")] = Field(
        default="commodity",
        description="Order; with a minus, descending. Ties go by commodity and support; where "
        "nothing was sold without the support, ratios are null and come last.",
    )


class AssociationsQuery(PageQuery):
    """Which measure decides the order."""

    metric: Metric = Field(
        default="lift",
        description="Measure to order by, the highest first; a null conviction comes last.",
    )
    sort: Annotated[str, sorted_by_any("household", "commodity_associations")] | None = Field(
        default=None,
        description="Any other order, in place of the metric; with a minus, descending.",
    )

    @model_validator(mode="after")
    def _order_by_metric(self) -> Self:
        if self.sort is None:
            self.sort = f"-{self.metric}"
        return self
