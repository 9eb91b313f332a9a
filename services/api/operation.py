"""Routes about the installation: what is served since when, and what went wrong lately."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from pollux.runtime.keys import KeyScope
from services.common.answers import answer_of_several, answers_of
from services.common.database import DatabaseUnavailableError, database_refuses
from services.common.health import NOT_KEPT
from services.common.openapi import problem_responses, release_responses
from services.common.parameters import parameter_errors
from services.common.problems import internal_error, invalid_parts
from services.common.releases import NothingReleasedError, Release
from services.common.scopes import ScopedRouter

if TYPE_CHECKING:
    from services.common.live_customers import LiveCustomers

releases = ScopedRouter(KeyScope.METRICS, prefix="/v1", tags=["service"])
alerts = ScopedRouter(KeyScope.ADMIN, prefix="/v1", tags=["service"])
ROUTERS = (releases, alerts)

LOG = "alerts.log"
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (.+)")
MOST_ALERTS = 20
# Enough for so many long lines; the file may be large.
READ_BYTES = 64 * 1024
NO_PARAMETER = invalid_parts(parameter_errors(["colour"], []))


class ServedRelease(BaseModel):
    """A current release."""

    domain: str = Field(description="Domain.", examples=["household"])
    number: int = Field(description="Number of the release in its domain.", examples=[3])
    name: str = Field(description="What answers from it are marked with.", examples=["household-3"])
    released_at: datetime | None = Field(
        description="When it was released.", examples=["2026-11-26T04:12:09.318214Z"]
    )


class ServedReleases(BaseModel):
    """The current releases, by domain."""

    data: list[ServedRelease]


class LiveDomain(BaseModel):
    """A domain whose customers may be answered live."""

    domain: str = Field(description="Domain.", examples=["household"])
    customers: int = Field(
        description="Customers whose answers are newer than the release.", examples=[17]
    )


class LiveDomains(BaseModel):
    """Who is answered live, by domain."""

    data: list[LiveDomain]


class Alert(BaseModel):
    """Something that went wrong."""

    at: datetime = Field(description="When.", examples=["2026-11-26T04:12:09Z"])
    text: str = Field(
        description="What; no rows of data.",
        examples=["daily_run failed: test unique_products_product_id"],
    )


class Alerts(BaseModel):
    """The latest alerts, the newest first."""

    data: list[Alert]


@releases.get(
    "/releases",
    response_model=ServedReleases,
    responses=release_responses("household", NO_PARAMETER),
    summary="What is served, since when",
)
async def list_releases(request: Request) -> Response:
    """The current release of each domain; empty before the first one."""
    found = await answers_of(request).releases()
    releases = [found[domain] for domain in sorted(found)]
    served = ServedReleases(data=[_describe(release) for release in releases])
    return answer_of_several(request, releases, served.model_dump_json().encode())


@releases.get(
    "/live",
    response_model=LiveDomains,
    responses=problem_responses(
        NO_PARAMETER,
        internal_error(),
        DatabaseUnavailableError(),
        database_refuses(),
        NothingReleasedError(),
    ),
    summary="How many customers are answered live",
)
async def count_live_customers(request: Request) -> Response:
    """Customers who did something since the release; none once a release has it."""
    # Without a database nobody knows.
    await answers_of(request).releases()
    customers: LiveCustomers = request.app.state.live
    found = [
        LiveDomain(domain=domain, customers=count) for domain, count in customers.counts().items()
    ]
    return JSONResponse(LiveDomains(data=found).model_dump(), headers=NOT_KEPT)


@alerts.get(
    "/alerts",
    response_model=Alerts,
    responses=problem_responses(NO_PARAMETER, internal_error()),
    summary="What went wrong lately",
)
async def list_alerts(request: Request) -> Response:
    """Runs of the pipelines that failed, the last 20; empty where their log is not at hand."""
    lines = await asyncio.to_thread(_last_lines, request.app.state.logs_dir / LOG)
    data = list(_read_alerts(lines))[-MOST_ALERTS:][::-1]
    return JSONResponse(Alerts(data=data).model_dump(mode="json"), headers=NOT_KEPT)


def _describe(release: Release) -> ServedRelease:
    at = release.released_at
    return ServedRelease(
        domain=release.domain,
        number=release.number,
        name=release.name,
        released_at=None if at is None else at.astimezone(UTC),
    )


def _last_lines(log: Path) -> list[str]:
    """The end of a log; first that of what was moved away for its age or size."""
    return [*_end_of(log.with_name(f"{log.name}.1")), *_end_of(log)]


def _end_of(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - READ_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _read_alerts(lines: list[str]) -> Iterator[Alert]:
    """Alerts in lines; the first line may have lost its beginning."""
    for line in lines:
        if found := LINE.fullmatch(line):
            yield Alert(at=datetime.fromisoformat(found[1]).astimezone(UTC), text=found[2])
