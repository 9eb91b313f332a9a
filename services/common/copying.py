"""The rows of a whole query as PostgreSQL's COPY writes them, handed on as they come.

Belongs here: the connection of a COPY, its limits, and the answer that sends it on. Does not
belong here: the query and its format.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import asyncpg
from psycopg.sql import Literal
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.common.database import COPIES_AT_ONCE, UNAVAILABLE, Database, SlowQueryError
from services.common.problems import ProblemError

WAIT_SECONDS = 5
# A list that takes longer would keep its release's tables for too long.
COPY_SECONDS = 1_800
# Without the client taking anything.
STALLED_SECONDS = 60
PART_BYTES = 64 * 1024
# Both queries of a list with a state see the same rows.
ONE_MOMENT = "set transaction isolation level repeatable read"
# Of a value, unless it is part of a name.
PLACE = re.compile(r'"[^"]*"|\$(\d+)\b')


class TooManyListsError(ProblemError):
    """As many whole lists as may be are being sent."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too-many-lists",
            "Too many whole lists at once",
            f"{COPIES_AT_ONCE} whole lists are being sent; ask again when one of them is done.",
            headers={"Retry-After": "5"},
        )


class Copying:
    """A COPY that has begun: its parts, each of whole rows, in order."""

    def __init__(self, database: Database, connection: asyncpg.Connection) -> None:
        self._database = database
        self._connection = connection
        # What is not taken yet holds up the server: memory does not grow with the list.
        self._parts: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(maxsize=1)
        self._gathered: list[bytes] = []
        self._size = 0
        self._first: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self.state: asyncpg.Record | None = None

    @classmethod
    async def begin(
        cls,
        database: Database,
        sql: str,
        arguments: Sequence[object],
        options: Mapping[str, Any],
        *,
        state: str | None = None,
    ) -> "Copying":
        """Begins to copy a query's rows out; `options` are those of asyncpg's COPY.

        `state` is another query with the same arguments, of the same moment: its row is the
        result's `state`.

        Raises as `Database.fetch` does, and `TooManyListsError`.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await database.copying.acquire()
        except TimeoutError:
            raise TooManyListsError from None
        try:
            copying = cls(database, await database.connect())
        except BaseException:
            database.copying.release()
            raise
        try:
            written = with_values(sql, arguments)
            before = None if state is None else with_values(state, arguments)
            copying._task = asyncio.create_task(copying._copy(written, options, before))
            copying._first = await copying._next()
        except asyncpg.QueryCanceledError as error:
            await copying.close()
            raise SlowQueryError from error
        except UNAVAILABLE as error:
            await copying.close()
            raise database.failure_of(error) from error
        except BaseException:
            await copying.close()
            raise
        return copying

    async def parts(self) -> AsyncIterator[bytes]:
        """The parts; an error ends them."""
        part = self._first
        while part is not None:
            yield part
            part = await self._next()

    async def close(self) -> None:
        """Ends the COPY, wherever it is."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._task
        self._connection.terminate()
        self._database.copying.release()

    async def _next(self) -> bytes | None:
        part = await self._parts.get()
        if isinstance(part, Exception):
            raise part
        return part

    async def _copy(self, sql: str, options: Mapping[str, Any], before: str | None) -> None:
        try:
            limit = f"set local statement_timeout = '{COPY_SECONDS}s'"
            await self._connection.execute(f"{self._database.begin}; {limit}")
            if before is not None:
                await self._connection.execute(ONE_MOMENT)
                self.state = await self._connection.fetchrow(before)
            await self._connection.copy_from_query(
                sql, output=self._gather, timeout=COPY_SECONDS, **options
            )
            await self._connection.execute("rollback")
            await self._connection.close()
        except Exception as error:
            await self._parts.put(error)
            return
        if self._gathered:
            await self._parts.put(b"".join(self._gathered))
        await self._parts.put(None)

    async def _gather(self, part: bytes) -> None:
        self._gathered.append(part)
        self._size += len(part)
        if self._size >= PART_BYTES:
            whole, self._gathered, self._size = b"".join(self._gathered), [], 0
            await self._parts.put(whole)


class CopiedAnswer(Response):
    """An answer that sends a COPY on as it comes; that it is cut short shows by its end."""

    def __init__(self, copying: Copying, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status_code = HTTPStatus.OK
        self.background = None
        self.raw_headers = list(headers)
        self._copying = copying

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer, until its end or the client's."""
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if not scope.get("pollux.is_head"):
                async for part in self._copying.parts():
                    if gone.done():
                        return
                    async with asyncio.timeout(STALLED_SECONDS):
                        await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await self._copying.close()


def with_values(sql: str, arguments: Sequence[object]) -> str:
    """A query with its values in their places: COPY takes no parameters.

    They are texts whose type the query says (`$1::bigint`), as its places do in any query here.
    """
    written = [Literal(_as_text(one)).as_string() for one in arguments]
    return PLACE.sub(lambda found: written[int(found[1]) - 1] if found[1] else found[0], sql)


def _as_text(value: object) -> str | list[str] | None:
    if isinstance(value, list):
        return [str(one) for one in value]
    return None if value is None else str(value)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
