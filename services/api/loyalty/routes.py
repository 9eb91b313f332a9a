"""Routes of members and promotions: paths, parameters and their documentation."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from pollux.types import LABEL_LENGTH
from services.api.lists import answer_list
from services.api.loyalty import repository
from services.api.loyalty.repository import DOMAIN, unknown_member, unknown_promotion
from services.api.loyalty.schemas import (
    ConversionsPage,
    ConversionsQuery,
    EmailInPath,
    FunnelQuery,
    LoyaltyCleaningQuery,
    LoyaltyCleaningReportPage,
    Members,
    MembersPage,
    MembersQuery,
    Promotion,
    PromotionFunnelPage,
    PromotionsQuery,
)
from services.common.answers import answers_of
from services.common.openapi import release_responses
from services.common.paging import foreign_next
from services.common.problems import invalid_input
from services.common.scopes import ScopedRouter

members = ScopedRouter(KeyScope.MEMBERS_READ, prefix="/v1/members", tags=["members"])
promotions = ScopedRouter(KeyScope.MEMBERS_READ, prefix="/v1/promotions", tags=["promotions"])
ROUTERS = (members, promotions)

TOO_LONG = f"longer than {LABEL_LENGTH} characters"
BAD_EMAIL = invalid_input("path", "email", TOO_LONG)
BAD_PROMOTION = invalid_input("path", "promotion", TOO_LONG)


@members.get(
    "",
    response_model=MembersPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List members",
)
async def list_members(request: Request, query: Annotated[MembersQuery, Query()]) -> Response:
    """Members of the fan club by email, a page at a time."""
    return await answer_list(request, repository.MEMBERS, query)


# Emails and names may contain a slash, sent as %2F: hence `path`.
@members.get(
    "/{email:path}",
    response_model=Members,
    responses=release_responses(DOMAIN, unknown_member("anna@example.org"), BAD_EMAIL),
    summary="A member",
)
async def read_member(request: Request, email: EmailInPath) -> Response:
    """User names, gender, how and when the member joined."""
    return await answers_of(request).make(request, DOMAIN, repository.MEMBER.read, email)


@promotions.get(
    "",
    response_model=PromotionFunnelPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List promotions",
)
async def list_promotions(request: Request, query: Annotated[PromotionsQuery, Query()]) -> Response:
    """Promotions and their channels with clicks, baskets and purchases."""
    return await answer_list(request, repository.PROMOTIONS, query)


@promotions.get(
    "/cleaning-report",
    response_model=LoyaltyCleaningReportPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="What became of the raw lines and events",
)
async def list_promotion_cleaning_report(
    request: Request, query: Annotated[LoyaltyCleaningQuery, Query()]
) -> Response:
    """How many of each dataset were kept, and how many were dropped for each reason."""
    return await answer_list(request, repository.CLEANING_REPORT, query)


@promotions.get(
    "/{promotion:path}/funnel",
    response_model=PromotionFunnelPage,
    responses=release_responses(DOMAIN, unknown_promotion("Winter"), BAD_PROMOTION),
    summary="Funnel of a promotion",
)
async def list_promotion_funnel(
    request: Request, promotion: Promotion, query: Annotated[FunnelQuery, Query()]
) -> Response:
    """Its channels with clicks, baskets and purchases, by name."""
    return await answer_list(request, repository.FUNNEL, query, promotion)


@promotions.get(
    "/{promotion:path}/conversions",
    response_model=ConversionsPage,
    responses=release_responses(DOMAIN, unknown_promotion("Winter"), BAD_PROMOTION),
    summary="Conversions of a promotion",
)
async def list_promotion_conversions(
    request: Request, promotion: Promotion, query: Annotated[ConversionsQuery, Query()]
) -> Response:
    """Its clicks, baskets and purchases, one by one."""
    return await answer_list(request, repository.CONVERSIONS, query, promotion)
