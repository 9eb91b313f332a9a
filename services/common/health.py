"""Routes that every service has: whether its process is up, and its metrics.

Readiness and the index depend on what a service needs and offers, so each has routes of its own.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from pollux.runtime.keys import KeyScope
from services.common.prefix import prefix_of
from services.common.problems import ProblemError
from services.common.scopes import ScopedRouter

NOT_KEPT = {"Cache-Control": "no-store"}

TAG = {
    "name": "service",
    "description": "The service itself; its index, healthz and readyz need no key.",
}

# Of every service, after its own.
LINKS = {
    "documentation": "/docs",
    "openapi": "/openapi.json",
    "health": "/healthz",
    "readiness": "/readyz",
    "metrics": "/metrics",
}

process = APIRouter(tags=["service"])
metrics = ScopedRouter(KeyScope.METRICS, tags=["service"])
ROUTERS = (process, metrics)


class Index(BaseModel):
    """Where things are."""

    name: str
    links: dict[str, str]


class Health(BaseModel):
    """The process answers."""

    status: Literal["up"] = "up"


def index_of(request: Request, links: Mapping[str, str]) -> Response:
    """The index of a service that has these links of its own, for the client to follow."""
    prefix = prefix_of(request.scope)
    found = {name: prefix + path for name, path in {**links, **LINKS}.items()}
    return JSONResponse(Index(name=request.app.title, links=found).model_dump())


def ending() -> ProblemError:
    """The problem of a service that was told to end."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "ending",
        "Ending",
        "The service was told to end. It answers what still comes, but not for long.",
        headers={"Retry-After": "1"},
    )


def check_stays(request: Request) -> None:
    """Raises a problem if the service was told to end: whoever can should ask another."""
    if request.app.state.is_ending:
        raise ending()


@process.get("/healthz", response_model=Health, summary="Whether the process is up")
async def read_health() -> Response:
    """Answers as long as the process runs."""
    return JSONResponse(Health().model_dump(), headers=NOT_KEPT)


@metrics.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_class=Response,
    summary="Metrics for Prometheus",
)
async def read_metrics(request: Request) -> Response:
    """Requests by route and status, their durations, and the service's own counts."""
    return Response(
        request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST, headers=NOT_KEPT
    )
