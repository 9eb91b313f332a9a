"""Routes of any service about its process: whether it is up, its metrics.

Belongs here: what operators ask every service. Does not belong here: whether a service is ready,
which depends on what it needs.
"""

from typing import Literal

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

NOT_KEPT = {"Cache-Control": "no-store"}

TAG = {
    "name": "service",
    "description": "The service itself; healthz, readyz and metrics need no key.",
}

process = APIRouter(tags=["service"])


class Index(BaseModel):
    """Where things are."""

    name: str
    links: dict[str, str]


class Health(BaseModel):
    """The process answers."""

    status: Literal["up"] = "up"


@process.get("/healthz", response_model=Health, summary="Whether the process is up")
async def read_health() -> Response:
    """Answers as long as the process does."""
    return JSONResponse(Health().model_dump(), headers=NOT_KEPT)


@process.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_class=Response,
    summary="Metrics for Prometheus",
)
async def read_metrics(request: Request) -> Response:
    """Requests by route and status, their time, and what the service counts itself."""
    return Response(
        request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST, headers=NOT_KEPT
    )
