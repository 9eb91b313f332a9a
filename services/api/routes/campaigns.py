"""Routes of campaigns.

Belongs here: paths, parameters and their documentation. Does not belong here: queries, and how
an answer is made.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.api import repository
from services.api.repository import DOMAIN, unknown_campaign
from services.api.schemas import (
    Campaign,
    CampaignPage,
    CampaignSummary,
    DailyCampaignSalesPage,
    DaysQuery,
    PageQuery,
)
from services.common.answers import answers_of
from services.common.openapi import release_responses
from services.common.paging import foreign_next
from services.common.problems import invalid_input

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])

BAD_NUMBER = invalid_input("path", "campaign", "Input should be a whole number in plain digits")


@router.get(
    "",
    response_model=CampaignPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List campaigns",
)
async def list_campaigns(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Campaigns by number, a page at a time."""
    return await answers_of(request).make(request, DOMAIN, repository.campaigns, query)


@router.get(
    "/{campaign}",
    response_model=CampaignSummary,
    responses=release_responses(DOMAIN, unknown_campaign(7), BAD_NUMBER),
    summary="A campaign and the sales around it",
)
async def read_campaign(request: Request, campaign: Campaign) -> Response:
    """When it ran, whom it reached, and what its couponed products sold before, during, after."""
    return await answers_of(request).make(request, DOMAIN, repository.campaign, campaign)


@router.get(
    "/{campaign}/daily-sales",
    response_model=DailyCampaignSalesPage,
    responses=release_responses(DOMAIN, unknown_campaign(7), BAD_NUMBER),
    summary="Sales of a campaign's products by day",
)
async def list_daily_sales(
    request: Request, campaign: Campaign, query: Annotated[DaysQuery, Query()]
) -> Response:
    """Days on which the campaign's couponed products sold, the earliest first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.daily_campaign_sales, campaign, query
    )
