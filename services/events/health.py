"""Routes of the event service about itself: where things are, and whether it is ready."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from services.common import health
from services.common.health import NOT_KEPT, Index, check_stays, ending, index_of
from services.common.openapi import problem_responses
from services.common.problems import ProblemError
from services.events.worker import Worker

router = APIRouter(tags=["service"])

ROUTERS = (router, *health.ROUTERS)


class Readiness(BaseModel):
    """Broker, database and scorer answer."""

    status: Literal["ready"] = "ready"
    worker: int = Field(description="Number of the worker, from 1.", examples=[1])
    release: int | None = Field(description="Release of the store that choices rest on.")
    model: str | None = Field(description="Model that choices rest on.")


def worker_of(request: Request) -> Worker:
    """The worker of the process."""
    worker: Worker = request.app.state.worker
    return worker


def not_ready(why: str) -> ProblemError:
    """The problem of a service that waits for another."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-ready",
        "Not ready",
        f"{why}. What comes meanwhile is kept by the broker.",
        headers={"Retry-After": "1"},
    )


@router.get("/", response_model=Index, summary="Where things are")
async def read_index(request: Request) -> Response:
    """Links to what the service offers."""
    return index_of(request, {})


@router.get(
    "/readyz",
    response_model=Readiness,
    responses=problem_responses(
        not_ready("Events cannot arrive from the broker (not connected yet)"), ending()
    ),
    summary="Whether events are answered",
)
async def read_readiness(request: Request) -> Response:
    """Ready when broker, database and scorer answer; else a problem says which does not."""
    check_stays(request)
    worker = worker_of(request)
    if worker.database_problem is not None:
        raise not_ready(worker.database_problem)
    if worker.broker_problem is not None:
        raise not_ready(f"Events cannot arrive from the broker ({worker.broker_problem})")
    if not worker.is_scorer_up:
        raise not_ready("The scorer cannot be reached")
    ready = Readiness(
        worker=worker.number,
        release=worker.offers.basis.release,
        model=worker.offers.basis.model,
    )
    return JSONResponse(ready.model_dump(), headers=NOT_KEPT)
