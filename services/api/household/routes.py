"""Routes of households and campaigns: paths, parameters and their documentation."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.api.documents import PageQuery
from services.api.household import repository
from services.api.household.repository import (
    DOMAIN,
    no_associations,
    no_demographics,
    no_recommendations,
    unknown_campaign,
    unknown_household,
)
from services.api.household.schemas import (
    AssociationsQuery,
    Campaign,
    CampaignResponsePage,
    CampaignSummary,
    CampaignSummaryPage,
    Commodity,
    CommodityAssociationsPage,
    DailyCampaignSalesPage,
    DailyHhSpendPage,
    DaysQuery,
    HhSummary,
    HouseholdKey,
    HouseholdRfm,
    HouseholdRfmPage,
    HouseholdsQuery,
    HouseholdWeeklySalesPage,
    ProductRecommendationsPage,
    RecommendationsQuery,
    ResponsesQuery,
    WeeksQuery,
)
from services.common.answers import answers_of
from services.common.openapi import release_responses
from services.common.paging import foreign_next
from services.common.problems import invalid_input
from services.common.values import NO_NUMBER

households = APIRouter(prefix="/v1/households", tags=["households"])
campaigns = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])
commodities = APIRouter(prefix="/v1/commodities", tags=["commodities"])
ROUTERS = (households, campaigns, commodities)

BAD_KEY = invalid_input("path", "household_key", NO_NUMBER)
BAD_CAMPAIGN = invalid_input("path", "campaign", NO_NUMBER)
BAD_LIMIT = invalid_input("query", "limit", "Input should be less than or equal to 1000")


@households.get(
    "",
    response_model=HouseholdRfmPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List households",
)
async def list_households(request: Request, query: Annotated[HouseholdsQuery, Query()]) -> Response:
    """Households in scope by their scores and sales, a page at a time."""
    return await answers_of(request).make(request, DOMAIN, repository.HOUSEHOLDS.read, query)


@households.get(
    "/{household_key}",
    response_model=HouseholdRfm,
    responses=release_responses(DOMAIN, unknown_household(7), BAD_KEY),
    summary="Scores and totals of a household",
)
async def read_household(request: Request, household_key: HouseholdKey) -> Response:
    """Any household in scope, whether its demographics are known or not."""
    return await answers_of(request).make(request, DOMAIN, repository.HOUSEHOLD.read, household_key)


@households.get(
    "/{household_key}/summary",
    response_model=HhSummary,
    responses=release_responses(DOMAIN, unknown_household(7), no_demographics(2), BAD_KEY),
    summary="Summary of a household",
)
async def read_household_summary(request: Request, household_key: HouseholdKey) -> Response:
    """Who the household is, what it is worth, what it spends; needs known demographics."""
    return await answers_of(request).make(request, DOMAIN, repository.summary, household_key)


@households.get(
    "/{household_key}/daily-spend",
    response_model=DailyHhSpendPage,
    responses=release_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="Spend of a household by day",
)
async def list_daily_spend(
    request: Request, household_key: HouseholdKey, query: Annotated[DaysQuery, Query()]
) -> Response:
    """Days on which the household shopped, the earliest first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.DAILY_SPEND.read, query, household_key
    )


@households.get(
    "/{household_key}/weekly-sales",
    response_model=HouseholdWeeklySalesPage,
    responses=release_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="Sales of a household by week",
)
async def list_weekly_sales(
    request: Request, household_key: HouseholdKey, query: Annotated[WeeksQuery, Query()]
) -> Response:
    """Weeks in which the household shopped, the earliest first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.WEEKLY_SALES.read, query, household_key
    )


@households.get(
    "/{household_key}/campaigns",
    response_model=CampaignResponsePage,
    responses=release_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="A household's responses to campaigns",
)
async def list_household_campaigns(
    request: Request, household_key: HouseholdKey, query: Annotated[ResponsesQuery, Query()]
) -> Response:
    """Campaigns sent to the household, or whose coupons it redeemed, by number."""
    return await answers_of(request).make(
        request, DOMAIN, repository.CAMPAIGN_RESPONSES.read, query, household_key
    )


@households.get(
    "/{household_key}/recommendations",
    response_model=ProductRecommendationsPage,
    responses=release_responses(DOMAIN, no_recommendations(7), BAD_KEY),
    summary="Products for a household's next basket",
)
async def list_recommendations(
    request: Request, household_key: HouseholdKey, query: Annotated[RecommendationsQuery, Query()]
) -> Response:
    """What its next basket will most likely hold and why, the likeliest first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.RECOMMENDATIONS.read, query, household_key
    )


@commodities.get(
    "/{commodity:path}/associations",
    response_model=CommodityAssociationsPage,
    responses=release_responses(DOMAIN, no_associations("SOUP"), BAD_LIMIT),
    summary="What a commodity is bought with",
)
async def list_commodity_associations(
    request: Request, commodity: Commodity, query: Annotated[AssociationsQuery, Query()]
) -> Response:
    """Commodities bought in the same baskets, the highest by the metric first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.ASSOCIATIONS.read, query, commodity
    )


@campaigns.get(
    "",
    response_model=CampaignSummaryPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List campaigns",
)
async def list_campaigns(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Campaigns by number, a page at a time."""
    return await answers_of(request).make(request, DOMAIN, repository.CAMPAIGNS.read, query)


@campaigns.get(
    "/{campaign}",
    response_model=CampaignSummary,
    responses=release_responses(DOMAIN, unknown_campaign(7), BAD_CAMPAIGN),
    summary="A campaign and the sales around it",
)
async def read_campaign(request: Request, campaign: Campaign) -> Response:
    """When it ran, whom it reached, and sales of its couponed products before, during and after."""
    return await answers_of(request).make(request, DOMAIN, repository.CAMPAIGN.read, campaign)


@campaigns.get(
    "/{campaign}/daily-sales",
    response_model=DailyCampaignSalesPage,
    responses=release_responses(DOMAIN, unknown_campaign(7), BAD_CAMPAIGN),
    summary="Sales of a campaign's products by day",
)
async def list_campaign_daily_sales(
    request: Request, campaign: Campaign, query: Annotated[DaysQuery, Query()]
) -> Response:
    """Days on which the campaign's couponed products sold, the earliest first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.DAILY_CAMPAIGN_SALES.read, query, campaign
    )
