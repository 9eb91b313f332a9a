"""The route that lists changes of households' segments, beside the topic of the same.

Belongs here: its path and documents. Does not belong here: which changes there are
(`services.live.segments`).
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from services.common.bodies import query_parameters, read_query
from services.common.database import DatabaseUnavailableError, database_refuses
from services.common.openapi import problem_responses
from services.common.problems import internal_error, invalid_input
from services.common.scopes import ScopedRouter
from services.common.values import read_as
from services.events.answering import answer_now, database_in_time
from services.events.health import worker_of

MOST_CHANGES = 100
LATEST = """
select
    number,
    household_key,
    segment_before as from_segment,
    segment as to_segment,
    cause,
    why,
    event_key::text,
    release,
    changed_at as at
from events.segment_changes
order by number desc
limit $1
"""

TAG = {"name": "segments", "description": "Households whose segment changed between releases."}

router = ScopedRouter(KeyScope.HOUSEHOLDS_READ, prefix="/v1/segment-changes", tags=[TAG["name"]])


class SegmentChangesQuery(BaseModel):
    """How many of the latest changes."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=MOST_CHANGES), read_as("integer")] = Field(
        default=20, description="Changes at most, the newest first.", examples=[20]
    )


class SegmentChange(BaseModel):
    """A household's change of segment, as it was told on the topic."""

    number: int = Field(description="Grows with every change.", examples=[17])
    household_key: int = Field(description="Household.", examples=[1])
    from_segment: str | None = Field(
        description="The segment before; null for none.", examples=["Potential loyalists"]
    )
    to_segment: str | None = Field(
        description="The segment since; null for none.", examples=["Champions"]
    )
    cause: Literal["purchase", "day", "release"] = Field(
        description="The household's purchase, a later day for all, or a release."
    )
    why: str | None = Field(
        description="The new segment's scores in words; null without one.",
        examples=["last visit on the last day, sales in the highest fifth"],
    )
    event_key: UUID | None = Field(
        description="The household's last purchase; null where a release holds all of them."
    )
    release: int = Field(description="The release that it was computed on.", examples=[3])
    at: datetime = Field(description="When.", examples=["2026-11-27T14:03:12.318214Z"])


class SegmentChanges(BaseModel):
    """The latest changes."""

    data: list[SegmentChange]


@router.get(
    "",
    response_model=SegmentChanges,
    responses=problem_responses(
        invalid_input("query", "limit", "Input should be greater than or equal to 1"),
        internal_error(),
        DatabaseUnavailableError(),
        database_refuses(),
    ),
    openapi_extra={"parameters": query_parameters(SegmentChangesQuery)},
    summary="Households whose segment changed, the latest first",
)
async def list_segment_changes(request: Request) -> Response:
    """From which to which, why, and by which purchase."""
    query = read_query(request, SegmentChangesQuery)
    worker = worker_of(request)
    async with database_in_time(worker):
        rows = await worker.looks.retry(lambda connection: connection.fetch(LATEST, query.limit))
    return answer_now({"data": [dict(row) for row in rows]})
