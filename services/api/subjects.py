"""The route that erases a subject.

Belongs here: its path and documents. Does not belong here: what is deleted
(`pollux.runtime.erasures`), and files, which the pipelines write anew (`orchestration.erase`).
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import psycopg
from fastapi import Path, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from pollux.personal import SUBJECTS
from pollux.runtime import erasures
from pollux.runtime.keys import KeyScope
from pollux.runtime.serving import ServingStore, ServingStoreError
from pollux.subjects import Subject, SubjectError, read_subject
from services.common.database import DatabaseUnavailableError
from services.common.health import NOT_KEPT
from services.common.openapi import problem_responses
from services.common.problems import internal_error, invalid_input
from services.common.scopes import ScopedRouter

router = ScopedRouter(KeyScope.ADMIN, prefix="/v1/subjects", tags=["service"])
ROUTERS = (router,)

NO_SUBJECT = invalid_input("path", "id", "The id of a household is a whole number.")


class Erased(BaseModel):
    """An erasure: no service answers with the subject; their bytes go within the next minutes."""

    number: int = Field(
        description="Its number, in pollux erasures, which has its proof.", examples=[3]
    )
    kind: str = Field(description="Kind of the subject.", examples=["member"])
    asked_at: datetime = Field(description="When.", examples=["2026-11-27T08:10:41.318214Z"])
    rows: dict[str, int] = Field(
        description="Rows that services read and that were deleted, by table; empty where nothing "
        "was known. After a colon, a column of other rows that referred to the subject.",
        examples=[{"loyalty__r3.members": 1, "events.conversions": 14}],
    )


# An email may contain a slash, sent as %2F: hence `path`.
@router.delete(
    "/{kind}/{id:path}",
    response_model=Erased,
    responses=problem_responses(NO_SUBJECT, internal_error(), DatabaseUnavailableError()),
    summary="Erase a subject",
)
async def erase_subject(
    request: Request,
    kind: Annotated[
        str,
        Path(
            description="Kind of subject.",
            examples=["member"],
            json_schema_extra={"enum": list(SUBJECTS)},
        ),
    ],
    id_: Annotated[
        str,
        Path(alias="id", description="The id; of a member, the email.", examples=["a@b.example"]),
    ],
) -> Response:
    """Keeps the subject out from now on, whether or not anything is known of it."""
    try:
        subject = read_subject(kind, id_)
    except SubjectError as error:
        name = "id" if kind in SUBJECTS else "kind"
        raise invalid_input("path", name, str(error)) from None
    try:
        erased = await asyncio.to_thread(_erase, request.app.state.serving_store, subject)
    except (psycopg.Error, ServingStoreError):
        raise DatabaseUnavailableError from None
    document = Erased(
        number=erased.number,
        kind=erased.kind,
        asked_at=erased.asked_at.astimezone(UTC),
        rows=dict(erased.rows),
    )
    return JSONResponse(document.model_dump(mode="json"), headers=NOT_KEPT)


def _erase(store: ServingStore, subject: Subject) -> erasures.Erasure:
    with store.connect() as connection:
        return erasures.erase(connection, subject)
