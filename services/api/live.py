"""Answers about customers whose rows are newer than the release.

Belongs here: who they are, kept in memory, and reading their rows. Does not belong here: computing
these rows (`services.live`). Everybody else's answers cost nothing more than without live rows.

What an answer has shown, the next one shows: a switch removes live rows together with the release
before the one that holds their events, so whoever is not found live is asked for in that release.
Rows count only where they follow the release that is served: an earlier version of Pollux switches
without them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, NamedTuple

import asyncpg
from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pollux.runtime import live
from pollux.runtime.live import FOLLOWED
from services.api.queries import Lookup, key_sql
from services.common.answers import GONE, answers_of, names_tag
from services.common.database import Database, DatabaseUnavailableError, SlowQueryError
from services.common.problems import ProblemError
from services.common.releases import Release, ReleaseWatcher
from services.common.values import Truth

POLL_SECONDS = 0.5
FRESHNESS = "X-Pollux-Freshness"
TABLES = f"""
select nspname
from pg_class
inner join pg_namespace on relnamespace = pg_namespace.oid
where relname = '{live.CUSTOMERS}' and relkind = 'r'
"""
CHANGED = """
select current.number as release, customers.{key} as key, customers.revision
from release.current
inner join live.followed
    on current.domain = followed.domain and current.number = followed.release
left join {schema}.live_customers as customers on customers.revision > $2::bigint
where current.domain = $1
"""
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


class LiveCustomers:
    """Who has live rows, at most half a second after they were written."""

    def __init__(
        self, database: Database, watcher: ReleaseWatcher, look_again: asyncio.Event
    ) -> None:
        self._database = database
        self._look_again = look_again
        self._watcher = watcher
        self._keys: dict[str, set[int]] = {domain: set() for domain in FOLLOWED}
        self._revisions = dict.fromkeys(FOLLOWED, 0)
        # Of which release all customers were read at once.
        self._read_of: dict[str, Release] = {}
        # Before the first look nobody is known.
        self.has_looked = False

    def has(self, subject: tuple[str, int]) -> bool:
        """Whether a customer, by domain and key, may have live rows."""
        domain, key = subject
        return key in self._keys[domain]

    async def follow(self) -> None:
        """Looks at every notification, and twice a second; runs until cancelled."""
        while True:
            # While the database is away the watcher alone tries to reach it.
            if self._watcher.is_fresh():
                with suppress(DatabaseUnavailableError, SlowQueryError, asyncpg.PostgresError):
                    await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look_again.wait()
            self._look_again.clear()

    async def look(self) -> None:
        """Reads who has new live rows; after a switch, who still has any."""
        there = {name for (name,) in await self._database.fetch(TABLES)}
        for domain, followed in FOLLOWED.items():
            schema = live.schema_of(domain)
            if schema in there:
                await self._look(domain, CHANGED.format(key=followed.key, schema=schema))
            else:
                self._keys[domain] = set()
        self.has_looked = True

    async def _look(self, domain: str, sql: str) -> None:
        release = self._watcher.known(domain)
        is_whole = release is not self._read_of.get(domain)
        after = 0 if is_whole else self._revisions[domain]
        rows = await self._database.fetch(sql, domain, after)
        keys = {row["key"] for row in rows if row["key"] is not None}
        # Of a release that is not known here yet, those who lack would be answered from the one
        # before.
        if is_whole and release and all(row["release"] == release.number for row in rows):
            self._keys[domain] = keys
            self._read_of[domain] = release
        else:
            self._keys[domain] |= keys
        last = max((row["revision"] for row in rows if row["key"] is not None), default=after)
        self._revisions[domain] = last

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
    customers: LiveCustomers = request.app.state.live
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
