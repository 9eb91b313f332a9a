"""The route of data quality: what each current release knows of the data that it was made from."""

import asyncpg
import orjson
from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from pollux.quality import Quality
from pollux.runtime.keys import KeyScope
from services.common.answers import answer_of_several, answers_of
from services.common.database import Database
from services.common.openapi import release_responses
from services.common.parameters import parameter_errors
from services.common.problems import invalid_parts
from services.common.releases import Release
from services.common.scopes import ScopedRouter

router = ScopedRouter(KeyScope.METRICS, prefix="/v1", tags=["service"])
ROUTERS = (router,)

OF_RELEASE = "select quality::text from release.quality where domain = $1 and number = $2"
NO_PARAMETER = invalid_parts(parameter_errors(["colour"], []))


class ReleaseQuality(Quality):
    """The quality of a release's data, as its build found it."""

    domain: str = Field(description="Domain.", examples=["store"])
    release: str = Field(description="Release that it is of.", examples=["store-3"])


class QualityReport(BaseModel):
    """The quality of the current releases' data, by domain."""

    data: list[ReleaseQuality]


@router.get(
    "/quality",
    response_model=QualityReport,
    responses=release_responses("household", NO_PARAMETER),
    summary="Rows loaded and rejected, and tests, of what is served",
)
async def read_quality(request: Request) -> Response:
    """What each release was built from and which tests it passed; counts and names only.

    A build with a failed test is not released, so these are the tests of the builds that are
    served. A release that an earlier version made is left out.
    """
    answers = answers_of(request)
    domains = sorted(await answers.releases())
    found = [await answers.read(domain, _read) for domain in domains]
    body = orjson.dumps({"data": [quality for _, quality in found if quality is not None]})
    return answer_of_several(request, [release for release, _ in found], body)


async def _read(database: Database, release: Release) -> dict[str, object] | None:
    """The record of a release; None if it carries none."""
    try:
        rows = await database.fetch(OF_RELEASE, release.domain, release.number)
    except asyncpg.UndefinedTableError:
        # No release was made by a version that records it.
        return None
    if not rows:
        return None
    return {"domain": release.domain, "release": release.name, **orjson.loads(rows[0][0])}
