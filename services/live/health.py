"""Routes of the updater about itself: where things are, and whether it computes."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from services.common import health
from services.common.health import NOT_KEPT, Index, check_stays, ending, index_of
from services.common.openapi import problem_responses
from services.common.problems import ProblemError

if TYPE_CHECKING:
    from services.live.updater import Updater

router = APIRouter(tags=["service"])
ROUTERS = (router, *health.ROUTERS)


class Readiness(BaseModel):
    """What customers do is computed as it comes."""

    status: Literal["ready"] = "ready"
    is_active: bool = Field(description="False while another process computes.")


def not_ready(why: str) -> ProblemError:
    """The problem of an updater that computes nothing."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-ready",
        "Not ready",
        f"{why}. Until then answers are the release's.",
        headers={"Retry-After": "1"},
    )


@router.get("/", response_model=Index, summary="Where things are")
async def read_index(request: Request) -> Response:
    """Links to what the service offers."""
    return index_of(request, {})


@router.get(
    "/readyz",
    response_model=Readiness,
    responses=problem_responses(not_ready("The database cannot be reached"), ending()),
    summary="Whether live rows are computed",
)
async def read_readiness(request: Request) -> Response:
    """Ready when the database answers and the release's models compute."""
    check_stays(request)
    updater: Updater = request.app.state.updater
    if not updater.is_up:
        raise not_ready("The database cannot be reached")
    for domain, problem in updater.problems.items():
        raise not_ready(f"Rows of {domain} cannot be computed ({problem}); the log says more")
    return JSONResponse(Readiness(is_active=updater.is_active).model_dump(), headers=NOT_KEPT)
