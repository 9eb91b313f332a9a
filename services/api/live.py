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
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from pollux.runtime import live
from pollux.runtime.live import FOLLOWED
from services.api.documents import LIVE, PageQuery
from services.api.listing import Listing
from services.api.lists import answer_list
from services.api.queries import Lookup, key_sql
from services.common.answers import GONE, answers_of, copied_answer, names_tag
from services.common.copying import Copying
from services.common.database import Database
from services.common.formats import Format, format_of
from services.common.live_customers import LiveCustomers
from services.common.problems import ProblemError
from services.common.releases import Release
from services.common.values import Truth

FRESHNESS = "X-Pollux-Freshness"
# What is shown, and the release that its absence refers to, are of the same moment.
STATE = """
select
    current.number as current,
    customers.release,
    customers.number,
    customers.revision,
    customers.computed_at,
    {shown}
from release.current
left join live.followed
    on current.domain = followed.domain and current.number = followed.release
left join {schema}.live_customers as customers
    on followed.domain is not null and customers.{key} = {place}
where current.domain = '{domain}'
"""
DOCUMENT = """(
        select row_to_json(found)::text
        from (select {columns} from {release}.{table} where {key} = $1::{type}) as found
    ) as document"""
PAGE = """(
        select array_agg(array[{columns}]) from ({rows}) as page ({columns})
    ) as page,
    ({count}) as count,
    {parent}"""
PARENT = """exists (
        select from {schema}.{table} where {key} = {place}
    ) as has_parent"""


class LiveQuery(BaseModel):
    """Parameters of a document that may be newer than the release."""

    model_config = ConfigDict(extra="forbid")

    live: Truth = LIVE


Live = Annotated[LiveQuery, Query()]


class LiveDocument(NamedTuple):
    """A document from live rows, or None where they have none, and its headers."""

    document: str | None
    headers: Mapping[str, str]


class LiveDocuments(LiveCustomers):
    """Documents and lists of those who have live rows."""

    async def find(self, lookup: Lookup[int], key: int) -> LiveDocument | None:
        """A customer's document from live rows; None where the release now has all that is known.

        Raises what the database raises.
        """
        mart = lookup.mart
        shown = key_sql(DOCUMENT, mart, lookup.key, live.schema_of(mart.domain), lookup.beside)
        found = await self._read(mart.domain, _state(mart.domain, shown, place=1), key)
        if found is None:
            return None
        release, row = found
        return LiveDocument(row["document"], _headers(release, row))

    async def find_page(
        self, listing: Listing[int], query: PageQuery, key: int
    ) -> LiveDocument | None:
        """A page of a customer's list from live rows, as `find` does.

        Raises the problem of an unknown customer, too.
        """
        domain = listing.mart.domain
        page = listing.live_page(query, key, live.schema_of(domain))
        shown = PAGE.format(
            columns=", ".join(f"column_{number}" for number in range(page.columns)),
            rows=page.rows,
            count=page.count,
            parent=_parent(listing, place=2),
        )
        found = await self._read(domain, _state(domain, shown, place=2), *page.arguments)
        if found is None:
            return None
        release, row = found
        headers = _headers(release, row)
        if not row["page"]:
            _check_parent(listing, key, row, headers)
        return LiveDocument(page.of(row["page"] or [], row["count"]).decode(), headers)

    async def copy(
        self, listing: Listing[int], query: PageQuery, key: int, as_: Format
    ) -> tuple[Copying, Mapping[str, str]] | None:
        """A customer's whole list from live rows, as it begins to come, and its headers."""
        domain = listing.mart.domain
        state = _state(domain, _parent(listing, place=1), place=1)
        while True:
            copying = await listing.copy_live(
                self._database, live.schema_of(domain), as_, query, key, state
            )
            row = copying.state
            try:
                release = await self._watcher.current(domain)
                if row is not None and row["number"] is not None:
                    headers = _headers(release, row, as_)
                    _check_parent(listing, key, row, headers)
                    return copying, headers
            except BaseException:
                await copying.close()
                raise
            await copying.close()
            if row is None or row["current"] == release.number:
                return None
            await self._watcher.check_again()

    async def _read(
        self, domain: str, sql: str, *arguments: object
    ) -> tuple[Release, asyncpg.Record] | None:
        """What a query by `STATE` says of a customer with live rows, and the release."""
        while True:
            rows = await self._database.fetch(sql, *arguments)
            if not rows:
                return None
            release = await self._watcher.current(domain)
            if rows[0]["number"] is not None:
                return release, rows[0]
            if rows[0]["current"] == release.number:
                return None
            await self._watcher.check_again()


def _state(domain: str, shown: str, *, place: int) -> str:
    return STATE.format(
        shown=shown,
        schema=live.schema_of(domain),
        key=FOLLOWED[domain].key,
        place=f"${place}::bigint",
        domain=domain,
    )


def _parent(listing: Listing[int], *, place: int) -> str:
    parent = listing.parent
    assert parent is not None  # noqa: S101 - a customer's list has one
    return PARENT.format(
        schema=live.schema_of(parent.mart.domain),
        table=parent.mart.table,
        key=parent.key,
        place=f"${place}::bigint",
    )


def _check_parent(
    listing: Listing[int], key: int, row: asyncpg.Record, headers: Mapping[str, str]
) -> None:
    if listing.parent is not None and not row["has_parent"]:
        raise _as_of(listing.parent.unknown(key), headers)


def _as_of(problem: ProblemError, headers: Mapping[str, str]) -> ProblemError:
    problem.headers |= {name: headers[name] for name in ("X-Pollux-Release", FRESHNESS)}
    return problem


def _headers(release: Release, found: asyncpg.Record, as_: Format = Format.JSON) -> dict[str, str]:
    of_format = "" if as_ is Format.JSON else f"-{as_.name.lower()}"
    computed = found["computed_at"].isoformat().replace("+00:00", "Z")
    return {
        "ETag": f'{release.etag[:-1]}-live-{found["revision"]}{of_format}"',
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
    lacking: Callable[[int, str], ProblemError] | None = None,
) -> Response:
    """A customer's document: from live rows where there are any, else from the release.

    `read` reads it from the release where that is more than a lookup, `parent` finds the customer
    where a document may be missing; `lacking` then makes the problem from the parent's document.
    """
    answers = answers_of(request)
    domain = lookup.mart.domain
    read = read or lookup.read
    if not query.live:
        return await answers.make(request, domain, read, key)
    subject = (domain, key)
    customers = await _customers_of(request)
    if customers.has(subject):
        # Tables of another version's columns are made anew with the next release.
        with suppress(*GONE):
            found = await customers.find(lookup, key)
            if found is not None and found.document is None and parent is not None:
                of_parent = await customers.find(parent, key)
                if of_parent is None or of_parent.document is None:
                    found, lookup = of_parent, parent
                elif lacking is not None:
                    return _answer(request, found, lacking(key, of_parent.document))
            if found is not None:
                return _answer(request, found, lookup.unknown(key))
    return await answers.make_of(request, subject, domain, read, key)


async def answer_customer_list(
    request: Request, listing: Listing[int], query: PageQuery, key: int, *, is_live: bool
) -> Response:
    """A customer's list: from live rows where there are any, else from the release."""
    domain, as_ = listing.mart.domain, format_of(request.scope)
    subject = (domain, key)
    customers = await _customers_of(request)
    if not is_live or not customers.has(subject):
        return await answer_list(request, listing, query, key, subject if is_live else None)
    with suppress(*GONE):
        if as_ is Format.JSON:
            page = await customers.find_page(listing, query, key)
            if page is not None:
                return _answer(request, page, None)
        else:
            begun = await customers.copy(listing, query, key, as_)
            if begun is not None:
                copying, headers = begun
                return await copied_answer(request.scope, copying, headers, as_)
    return await answer_list(request, listing, query, key, subject)


async def _customers_of(request: Request) -> LiveDocuments:
    customers: LiveDocuments = request.app.state.live
    if not customers.has_looked:
        with suppress(asyncpg.PostgresError):
            await customers.look()
    return customers


def _answer(request: Request, found: LiveDocument, unknown: ProblemError | None) -> Response:
    headers = found.headers
    if unknown is not None and found.document is None:
        raise _as_of(unknown, headers)
    if names_tag(request.scope, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.document, headers=headers, media_type="application/json")
