"""Routes of households and campaigns: paths, parameters and their documentation."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from pollux.types import LABEL_LENGTH
from services.api.household import repository
from services.api.household.repository import (
    DOMAIN,
    no_associations,
    no_demographics,
    no_recommendations,
    no_summary_yet,
    unknown_campaign,
    unknown_commodity,
    unknown_household,
    unknown_product,
    unknown_segment,
)
from services.api.household.schemas import (
    AssociationsQuery,
    Campaign,
    CampaignDaysQuery,
    CampaignResponsePage,
    CampaignSegmentsPage,
    CampaignSegmentsQuery,
    CampaignsQuery,
    CampaignSummary,
    CampaignSummaryPage,
    Commodities,
    CommoditiesPage,
    CommoditiesQuery,
    Commodity,
    CommodityAssociationsPage,
    DailyCampaignSalesPage,
    DailyHhSpendPage,
    HhSummary,
    Household,
    HouseholdKey,
    HouseholdPeriodsQuery,
    HouseholdProductsQuery,
    HouseholdRfmPage,
    HouseholdSegmentHistoryPage,
    HouseholdSegmentsPage,
    HouseholdsQuery,
    HouseholdWeeklySalesPage,
    MovesQuery,
    ProductId,
    ProductRecommendationsPage,
    Products,
    ProductsPage,
    PromotionEffectPage,
    PromotionEffectsQuery,
    RecommendationsQuery,
    ResponsesQuery,
    Segment,
    SegmentHistoryQuery,
    SegmentHouseholdsQuery,
    SegmentMovesPage,
    SegmentSizesPage,
    SegmentsQuery,
    SpendQuery,
    WeeksQuery,
)
from services.api.lists import answer_list
from services.api.live import Live, answer_customer_list, answer_document
from services.common.answers import answers_of
from services.common.openapi import live_responses, release_responses
from services.common.paging import foreign_next
from services.common.problems import invalid_input
from services.common.scopes import ScopedRouter
from services.common.values import NO_NUMBER

households = ScopedRouter(KeyScope.HOUSEHOLDS_READ, prefix="/v1/households", tags=["households"])
campaigns = ScopedRouter(KeyScope.HOUSEHOLDS_READ, prefix="/v1/campaigns", tags=["campaigns"])
commodities = ScopedRouter(KeyScope.HOUSEHOLDS_READ, prefix="/v1/commodities", tags=["commodities"])
segments = ScopedRouter(KeyScope.HOUSEHOLDS_READ, prefix="/v1/segments", tags=["segments"])
promotion_effects = ScopedRouter(
    KeyScope.HOUSEHOLDS_READ, prefix="/v1/promotion-effects", tags=["commodities"]
)
ROUTERS = (households, segments, campaigns, commodities, promotion_effects)

BAD_KEY = invalid_input("path", "household_key", NO_NUMBER)
BAD_PRODUCT = invalid_input("path", "product_id", NO_NUMBER)
BAD_COMMODITY = invalid_input("path", "commodity", f"longer than {LABEL_LENGTH} characters")
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
    return await answer_list(request, repository.HOUSEHOLDS, query)


# Before households by key: `products` is none.
@households.get(
    "/products",
    response_model=ProductsPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List products of the households' shop",
)
async def list_household_products(
    request: Request, query: Annotated[HouseholdProductsQuery, Query()]
) -> Response:
    """Products by words, department, commodity, brand, section and maker, a page at a time."""
    return await answer_list(request, repository.PRODUCTS, query)


@households.get(
    "/products/{product_id}",
    response_model=Products,
    responses=release_responses(DOMAIN, unknown_product(7), BAD_PRODUCT),
    summary="A product of the households' shop",
)
async def read_household_product(request: Request, product_id: ProductId) -> Response:
    """What it is, in which package, and which section of the shop it counts in."""
    return await answers_of(request).make(request, DOMAIN, repository.PRODUCT.read, product_id)


@households.get(
    "/{household_key}",
    response_model=Household,
    responses=live_responses(DOMAIN, unknown_household(7), BAD_KEY),
    summary="Scores, totals and segment of a household",
)
async def read_household(request: Request, household_key: HouseholdKey, query: Live) -> Response:
    """Any household in scope, whether its demographics are known or not."""
    return await answer_document(request, repository.HOUSEHOLD, household_key, query)


@households.get(
    "/{household_key}/summary",
    response_model=HhSummary,
    responses=live_responses(
        DOMAIN, unknown_household(7), no_demographics(2), no_summary_yet(2), BAD_KEY
    ),
    summary="Summary of a household",
)
async def read_household_summary(
    request: Request, household_key: HouseholdKey, query: Live
) -> Response:
    """Who the household is, what it is worth, what it spends; needs known demographics."""
    return await answer_document(
        request,
        repository.SUMMARY,
        household_key,
        query,
        read=repository.summary,
        parent=repository.HOUSEHOLD,
        lacking=repository.lacking_summary,
    )


@households.get(
    "/{household_key}/daily-spend",
    response_model=DailyHhSpendPage,
    responses=live_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="Spend of a household by day",
)
async def list_daily_spend(
    request: Request, household_key: HouseholdKey, query: Annotated[SpendQuery, Query()]
) -> Response:
    """Days on which the household shopped, the earliest first."""
    return await answer_customer_list(
        request, repository.DAILY_SPEND, query, household_key, is_live=query.live
    )


@households.get(
    "/{household_key}/weekly-sales",
    response_model=HouseholdWeeklySalesPage,
    responses=live_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="Sales of a household by week",
)
async def list_weekly_sales(
    request: Request, household_key: HouseholdKey, query: Annotated[WeeksQuery, Query()]
) -> Response:
    """Weeks in which the household shopped, the earliest first."""
    return await answer_customer_list(
        request, repository.WEEKLY_SALES, query, household_key, is_live=query.live
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
    return await answer_list(request, repository.CAMPAIGN_RESPONSES, query, household_key)


@households.get(
    "/{household_key}/segments",
    response_model=HouseholdSegmentHistoryPage,
    responses=live_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="A household's segments over time",
)
async def list_household_segments(
    request: Request, household_key: HouseholdKey, query: Annotated[HouseholdPeriodsQuery, Query()]
) -> Response:
    """Its scores and segment at the end of every four weeks, the earliest first."""
    return await answer_customer_list(
        request, repository.HOUSEHOLD_SEGMENTS, query, household_key, is_live=query.live
    )


@households.get(
    "/{household_key}/recommendations",
    response_model=ProductRecommendationsPage,
    responses=live_responses(DOMAIN, no_recommendations(7), BAD_KEY),
    summary="Products for a household's next basket",
)
async def list_recommendations(
    request: Request, household_key: HouseholdKey, query: Annotated[RecommendationsQuery, Query()]
) -> Response:
    """What its next basket will most likely hold and why, the likeliest first."""
    return await answer_customer_list(
        request, repository.RECOMMENDATIONS, query, household_key, is_live=query.live
    )


@segments.get(
    "",
    response_model=SegmentSizesPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="Segments of households today",
)
async def list_segments(request: Request, query: Annotated[SegmentsQuery, Query()]) -> Response:
    """How many households each has, with which share of sales, the most valuable first."""
    is_latest = True
    return await answer_list(request, repository.SEGMENTS, query, is_latest)


@segments.get(
    "/history",
    response_model=SegmentSizesPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="Sizes of segments over time",
)
async def list_segment_history(
    request: Request, query: Annotated[SegmentHistoryQuery, Query()]
) -> Response:
    """The same at the end of every four weeks, the earliest first."""
    return await answer_list(request, repository.SEGMENT_HISTORY, query)


@segments.get(
    "/moves",
    response_model=SegmentMovesPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="Moves between segments",
)
async def list_segment_moves(request: Request, query: Annotated[MovesQuery, Query()]) -> Response:
    """Households that went from one segment to another in four weeks, or stayed."""
    return await answer_list(request, repository.SEGMENT_MOVES, query)


@segments.get(
    "/{segment}/households",
    response_model=HouseholdSegmentsPage,
    responses=release_responses(
        DOMAIN, unknown_segment("Winners", ["At risk", "Champions", "Lost"]), BAD_LIMIT
    ),
    summary="Households of a segment",
)
async def list_segment_households(
    request: Request, segment: Segment, query: Annotated[SegmentHouseholdsQuery, Query()]
) -> Response:
    """Its households today, with since when and why."""
    return await answer_list(request, repository.SEGMENT_HOUSEHOLDS, query, segment)


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
    return await answer_list(request, repository.ASSOCIATIONS, query, commodity)


@commodities.get(
    "",
    response_model=CommoditiesPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List commodities",
)
async def list_commodities(
    request: Request, query: Annotated[CommoditiesQuery, Query()]
) -> Response:
    """Groups of similar products with their section, products and sales, a page at a time."""
    return await answer_list(request, repository.COMMODITIES, query)


# After the paths that go on from a commodity, whose name may hold slashes.
@commodities.get(
    "/{commodity:path}",
    response_model=Commodities,
    responses=release_responses(DOMAIN, unknown_commodity("SOUP"), BAD_COMMODITY),
    summary="A commodity",
)
async def read_commodity(request: Request, commodity: Commodity) -> Response:
    """Its section of the shop, its products, and their lines and sales."""
    return await answers_of(request).make(request, DOMAIN, repository.commodity, commodity)


@promotion_effects.get(
    "",
    response_model=PromotionEffectPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List what displays and the mailer do to sales",
)
async def list_promotion_effects(
    request: Request, query: Annotated[PromotionEffectsQuery, Query()]
) -> Response:
    """By commodity and kind of support: sales per product, store and week with it and without."""
    return await answer_list(request, repository.PROMOTION_EFFECTS, query)


@campaigns.get(
    "",
    response_model=CampaignSummaryPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List campaigns",
)
async def list_campaigns(request: Request, query: Annotated[CampaignsQuery, Query()]) -> Response:
    """Campaigns by number, a page at a time."""
    return await answer_list(request, repository.CAMPAIGNS, query)


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
    request: Request, campaign: Campaign, query: Annotated[CampaignDaysQuery, Query()]
) -> Response:
    """Days on which the campaign's couponed products sold, the earliest first."""
    return await answer_list(request, repository.DAILY_CAMPAIGN_SALES, query, campaign)


@campaigns.get(
    "/{campaign}/segments",
    response_model=CampaignSegmentsPage,
    responses=release_responses(DOMAIN, unknown_campaign(7), BAD_CAMPAIGN),
    summary="A campaign by segment of households",
)
async def list_campaign_segments(
    request: Request, campaign: Campaign, query: Annotated[CampaignSegmentsQuery, Query()]
) -> Response:
    """Whom it reached, who redeemed, and sales before, during and after, by segment before it."""
    return await answer_list(request, repository.CAMPAIGN_SEGMENTS, query, campaign)
