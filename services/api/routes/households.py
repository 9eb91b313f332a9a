"""Routes of households.

Belongs here: paths, parameters and their documentation. Does not belong here: queries, and how
an answer is made.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.api import repository
from services.api.repository import DOMAIN, no_demographics, unknown_household
from services.api.schemas import (
    DailySpendPage,
    DaysQuery,
    Household,
    HouseholdKey,
    HouseholdPage,
    HouseholdsQuery,
    HouseholdSummary,
    WeeklySalesPage,
    WeeksQuery,
)
from services.common.answers import answers_of
from services.common.openapi import release_responses
from services.common.paging import foreign_next
from services.common.problems import invalid_input

router = APIRouter(prefix="/v1/households", tags=["households"])

BAD_KEY = invalid_input("path", "household_key", "Input should be a whole number in plain digits")
BAD_LIMIT = invalid_input("query", "limit", "Input should be less than or equal to 1000")


@router.get(
    "",
    response_model=HouseholdPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List households",
)
async def list_households(request: Request, query: Annotated[HouseholdsQuery, Query()]) -> Response:
    """Households in scope by their scores and sales, a page at a time."""
    return await answers_of(request).make(request, DOMAIN, repository.households, query)


@router.get(
    "/{household_key}",
    response_model=Household,
    responses=release_responses(DOMAIN, unknown_household(7), BAD_KEY),
    summary="Scores and totals of a household",
)
async def read_household(request: Request, household_key: HouseholdKey) -> Response:
    """Any household in scope, whether its demographics are known or not."""
    return await answers_of(request).make(request, DOMAIN, repository.household, household_key)


@router.get(
    "/{household_key}/summary",
    response_model=HouseholdSummary,
    responses=release_responses(DOMAIN, unknown_household(7), no_demographics(2), BAD_KEY),
    summary="Summary of a household",
)
async def read_summary(request: Request, household_key: HouseholdKey) -> Response:
    """Who the household is, what it is worth, what it spends; needs known demographics."""
    return await answers_of(request).make(request, DOMAIN, repository.summary, household_key)


@router.get(
    "/{household_key}/daily-spend",
    response_model=DailySpendPage,
    responses=release_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="Spend of a household by day",
)
async def list_daily_spend(
    request: Request, household_key: HouseholdKey, query: Annotated[DaysQuery, Query()]
) -> Response:
    """Days on which the household shopped, the earliest first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.daily_spend, household_key, query
    )


@router.get(
    "/{household_key}/weekly-sales",
    response_model=WeeklySalesPage,
    responses=release_responses(DOMAIN, unknown_household(7), BAD_KEY, BAD_LIMIT),
    summary="Sales of a household by week",
)
async def list_weekly_sales(
    request: Request, household_key: HouseholdKey, query: Annotated[WeeksQuery, Query()]
) -> Response:
    """Weeks in which the household shopped, the earliest first."""
    return await answers_of(request).make(
        request, DOMAIN, repository.weekly_sales, household_key, query
    )
