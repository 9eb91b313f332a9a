"""Routes about the API itself: where things are, and whether it is ready."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from services.common import health
from services.common.answers import answers_of
from services.common.database import DatabaseUnavailableError, database_refuses
from services.common.health import NOT_KEPT, Index, check_stays, ending, index_of
from services.common.openapi import problem_responses
from services.common.releases import NothingReleasedError

router = APIRouter(tags=["service"])

ROUTERS = (router, *health.ROUTERS)


class Readiness(BaseModel):
    """The service can answer: the database is there, and so is a release."""

    status: Literal["ready"] = "ready"
    releases: dict[str, str] = Field(
        description="Current release of each domain that has one.",
        examples=[{"customer": "customer-1", "household": "household-3"}],
    )
    etags: dict[str, str] = Field(
        description="The ETag of its answers, by domain: another one when a release follows, and "
        "when somebody is erased from it.",
        examples=[{"customer": '"customer-1-5fd924625f"', "household": '"household-3-6c1a5b7e09"'}],
    )


@router.get("/", response_model=Index, summary="Where things are")
async def read_index(request: Request) -> Response:
    """Links to what the service offers."""
    links = {
        "households": "/v1/households",
        "household-products": "/v1/households/products",
        "campaigns": "/v1/campaigns",
        "commodities": "/v1/commodities",
        "promotion-effects": "/v1/promotion-effects",
        "vouchers": "/v1/vouchers",
        "accounts": "/v1/accounts",
        "coupons": "/v1/coupons",
        "coupon-offers": "/v1/coupon-offers",
        "products": "/v1/products",
        "store-customers": "/v1/store-customers",
        "members": "/v1/members",
        "promotions": "/v1/promotions",
        "marts": "/v1/marts",
        "releases": "/v1/releases",
        "quality": "/v1/quality",
        "alerts": "/v1/alerts",
    }
    return index_of(request, links)


@router.get(
    "/readyz",
    response_model=Readiness,
    responses=problem_responses(
        DatabaseUnavailableError(), database_refuses(), NothingReleasedError(), ending()
    ),
    summary="Whether the service can answer",
)
async def read_readiness(request: Request) -> Response:
    """Ready when the database answers and there is a release; else a problem says what is wrong."""
    check_stays(request)
    releases = await answers_of(request).releases()
    ready = Readiness(
        releases={name: releases[name].name for name in sorted(releases)},
        etags={name: releases[name].etag for name in sorted(releases)},
    )
    return JSONResponse(ready.model_dump(), headers=NOT_KEPT)
