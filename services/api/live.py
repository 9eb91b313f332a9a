"""Answers about customers whose rows are newer than the release.

Belongs here: reading their rows. Does not belong here: who they are (`services.common`), and
computing these rows (`services.live`). Everybody else's answers cost nothing more than without.

What an answer has shown, the next one shows: a switch removes live rows together with the release
before the one that holds their events, so whoever is not found live is asked for in that release.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, NamedTuple

import asyncpg
from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pollux.runtime import live
from services.api.queries import Lookup, key_sql
from services.common.answers import GONE, answers_of, names_tag
from services.common.database import Database
from services.common.live_customers import LiveCustomers
from services.common.problems import ProblemError
from services.common.releases import Release
from services.common.values import Truth

FRESHNESS = "X-Pollux-Freshness"
# One statement: the row, and the release that its absence refers to, are of the same moment.
FIND = """
select
    current.number as current,
    customers.release,
    customers.number,
    customers.revision,
    customers.computed_at,
    (
        select row_to_json(found)::text
        from (select {columns} from {release}.{table} where {key} = $1::{type}) as found
    ) as document
from release.current
left join live.followed
    on current.domain = followed.domain and current.number = followed.release
left join {release}.live_customers as customers
    on followed.domain is not null and customers.{key} = $1::{type}
where current.domain = $2
"""


class LiveQuery(BaseModel):
    """Parameters of a document that may be newer than the release."""

    model_config = ConfigDict(extra="forbid")

    live: Truth = Field(
        default=True,
        description="`false`: as of the release, without what the customer did since.",
    )


Live = Annotated[LiveQuery, Query()]


class LiveDocument(NamedTuple):
    """A document from live rows, or None where they have none, and its headers."""

    document: str | None
    headers: Mapping[str, str]


class LiveDocuments(LiveCustomers):
    """The documents of those who have live rows."""

    async def find(self, lookup: Lookup[int], key: int) -> LiveDocument | None:
        """A customer's document from live rows; None where the release now has all that is known.

        Raises what the database raises.
        """
        domain = lookup.mart.domain
        sql = key_sql(FIND, lookup.mart, lookup.key, live.schema_of(domain), lookup.beside)
        while True:
            rows = await self._database.fetch(sql, key, domain)
            if not rows:
                return None
            found = rows[0]
            release = await self._watcher.current(domain)
            if found["number"] is not None:
                return LiveDocument(found["document"], _headers(release, found))
            if found["current"] == release.number:
                return None
            await self._watcher.check_again()


def _headers(release: Release, found: asyncpg.Record) -> dict[str, str]:
    computed = found["computed_at"].isoformat().replace("+00:00", "Z")
    return {
        "ETag": f'{release.etag[:-1]}-live-{found["revision"]}"',
        "X-Pollux-Release": f"{release.domain}-{found['release']}",
        FRESHNESS: f"live; event={found['number']}; computed={computed}",
        "Cache-Control": "no-cache",
        "Vary": "Accept",
    }


async def answer_document(
    request: Request,
    lookup: Lookup[int],
    key: int,
    query: LiveQuery,
    *,
    read: Callable[[Database, Release, int], Awaitable[bytes]] | None = None,
    parent: Lookup[int] | None = None,
) -> Response:
    """A customer's document: from live rows where there are any, else from the release.

    `read` reads it from the release where that is more than a lookup, `parent` finds the customer
    where a document may be missing.
    """
    answers = answers_of(request)
    domain = lookup.mart.domain
    read = read or lookup.read
    if not query.live:
        return await answers.make(request, domain, read, key)
    customers: LiveDocuments = request.app.state.live
    if not customers.has_looked:
        with suppress(asyncpg.PostgresError):
            await customers.look()
    subject = (domain, key)
    if customers.has(subject):
        # Tables of another version's columns are made anew with the next release.
        with suppress(*GONE):
            found = await customers.find(lookup, key)
            if found is not None and found.document is None and parent is not None:
                of_parent = await customers.find(parent, key)
                if of_parent is None or of_parent.document is None:
                    found, lookup = of_parent, parent
            if found is not None:
                return _answer(request, found, lookup.unknown(key))
    return await answers.make_of(request, subject, domain, read, key)


def _answer(request: Request, found: LiveDocument, unknown: ProblemError) -> Response:
    headers = found.headers
    if found.document is None:
        unknown.headers |= {name: headers[name] for name in ("X-Pollux-Release", FRESHNESS)}
        raise unknown
    if names_tag(request.scope, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.document, headers=headers, media_type="application/json")
