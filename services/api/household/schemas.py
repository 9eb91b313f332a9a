"""Documents about households and campaigns, and the parameters of their lists.

Documents are made from the marts' contracts. PostgreSQL serialises the answers; a test checks that
they match.
"""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from services.api.documents import Limit, PageQuery, document_of, page_of
from services.common.values import INTEGER_MAX, Amount, Count, Id, Text, Truth, read_as

HouseholdKey = Annotated[Id, Path(description="Household.", examples=[1])]
Campaign = Annotated[Id, Path(description="Campaign.", examples=[18])]
Commodity = Annotated[
    Text, Path(description="Commodity, as the product data spell it.", examples=["SOUP"])
]
Metric = Literal["support", "confidence", "lift", "leverage", "conviction"]
MOST_EXCLUDED = 100
Score = Annotated[int, Field(ge=1, le=5), read_as("integer")]
HouseholdSort = Literal[
    "household_key", "-household_key", "total_sales", "-total_sales", "rfm_bins", "-rfm_bins",
    "rfm_score", "-rfm_score", "last_day", "-last_day", "baskets", "-baskets",
]  # fmt: skip


HouseholdRfm = document_of("household", "household_rfm")
HhSummary = document_of("household", "hh_summary")
DailyHhSpend = document_of("household", "daily_hh_spend")
HouseholdWeeklySales = document_of("household", "household_weekly_sales")
CampaignSummary = document_of("household", "campaign_summary")
DailyCampaignSales = document_of("household", "daily_campaign_sales")
CampaignResponse = document_of("household", "campaign_response")
ProductRecommendations = document_of("household", "product_recommendations")
CommodityAssociations = document_of("household", "commodity_associations")
ProductRecommendationsPage = page_of(
    ProductRecommendations, "A page of a household's recommendations, the best first."
)
CommodityAssociationsPage = page_of(
    CommodityAssociations, "A page of a commodity's associations, the highest by the metric first."
)
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
DailyCampaignSalesPage = page_of(
    DailyCampaignSales, "A page of a campaign's days, the earliest first."
)


class HouseholdsQuery(PageQuery):
    """Which households, in which order."""

    rfm_bins: Score | None = Field(default=None, description="Only this bin.")
    r_score: Score | None = Field(default=None, description="Only this recency.")
    f_score: Score | None = Field(default=None, description="Only this frequency.")
    m_score: Score | None = Field(default=None, description="Only this monetary value.")
    has_demographics: Truth | None = Field(
        default=None, description="Only households with a summary (true), or without."
    )
    min_total_sales: Amount | None = Field(default=None, description="Only sales of this or more.")
    max_total_sales: Amount | None = Field(default=None, description="Only sales of this or less.")
    sort: HouseholdSort = Field(
        default="household_key",
        description="Order; with a minus, descending. Ties go by household_key.",
    )


class DaysQuery(PageQuery):
    """Which days."""

    from_day: Count = Field(default=0, description="First day.")
    to_day: Count = Field(default=INTEGER_MAX, description="Last day, included.")


class ResponsesQuery(PageQuery):
    """Which campaigns."""

    has_redeemed: Truth | None = Field(
        default=None, description="Only campaigns with a redemption (true), or without."
    )


class WeeksQuery(PageQuery):
    """Which weeks."""

    from_week: Count = Field(default=0, description="First week.")
    to_week: Count = Field(default=INTEGER_MAX, description="Last week, included.")


class RecommendationsQuery(PageQuery):
    """Which recommendations."""

    limit: Limit = Field(default=10, alias="k", description="Products, at most.")
    only: Literal["repeat", "new"] | None = Field(
        default=None, description="Only what the household bought before, or only what is new."
    )
    exclude: list[Id] | None = Field(
        default=None,
        max_length=MOST_EXCLUDED,
        description="Products to leave out; may be given several times.",
    )


class AssociationsQuery(PageQuery):
    """Which measure decides the order."""

    metric: Metric = Field(
        default="lift",
        description="Measure to order by, the highest first; a null conviction comes last.",
    )

    @property
    def sort(self) -> str:
        """The order, written as in other lists."""
        return f"-{self.metric}"
