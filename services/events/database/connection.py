"""Connections that write to schema `events`.

Belongs here: opening and keeping one, and trying work again until the database answers. Does not
belong here: any statement.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import asyncpg

from pollux.runtime.serving import ServingStore
from services.common.database import (
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    UNAVAILABLE,
    Refusal,
    asyncpg_arguments,
    refusal_of,
)

SESSION = {
    "application_name": "pollux-events",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
}
# Writes a WAL record of its own, so that its commit waits until all before it is on disk.
FLUSH = "select pg_logical_emit_message(true, 'pollux', '')"
# Conflicts with another worker: the same work succeeds the next time.
ONCE_MORE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0

T = TypeVar("T")

log = logging.getLogger("pollux.events")


async def connect_to_write(
    serving_store: ServingStore, session: Mapping[str, str]
) -> asyncpg.Connection:
    """A connection with the event service's rights (`rights`), and these settings of its session.

    Raises as asyncpg does.
    """
    url = serving_store.events_url or serving_store.owner_url
    dsn, settings = asyncpg_arguments(url, session)
    if serving_store.events_set_role is not None:
        settings["role"] = serving_store.events_set_role
    return await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS, server_settings=settings
    )


class DatabaseWriter:
    """One connection that writes, used by one task at a time.

    A writer that is not `durable` commits without waiting for the disk: until a durable one has
    flushed, a crash of the server loses what was committed. `session` has more settings of its
    session. `interruptions` counts how often work was tried again; a caller that publishes from
    memory after a commit should then read the tables instead. `connections` counts connections: as
    long as it stays the same, the server did not restart.
    """

    def __init__(
        self,
        serving_store: ServingStore,
        *,
        durable: bool,
        session: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._serving_store = serving_store
        self._session = SESSION | {"synchronous_commit": "on" if durable else "off", **session}
        self._connection: asyncpg.Connection | None = None
        self._lock = asyncio.Lock()
        self.interruptions = 0
        self.connections = 0
        self.is_up = False
        self._refusal: Refusal | None = None

    async def retry(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """What `work` returns, tried until the database answers; `work` must be safe to repeat.

        Raises asyncpg's errors for a statement that the database rejects.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._lock:
                    return await self._try(work)
            except ONCE_MORE:
                continue
            except UNAVAILABLE:
                # Waits without the lock: what is slow for one need not be for the next.
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def flush(self) -> int:
        """Waits until all commits are on disk; returns the number of connections so far.

        Commits made while that number was lower may be lost: the server may have restarted since
        and lost what it had not flushed.
        """
        await self.retry(lambda connection: connection.execute(FLUSH))
        return self.connections

    def close(self) -> None:
        """Ends the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _try(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        try:
            found = await work(await self._connect())
        except UNAVAILABLE as error:
            self._lose(error)
            raise
        except asyncpg.PostgresError:
            raise
        except BaseException:
            # Cancelled in the middle: the next statement would receive the reply.
            self.close()
            raise
        self.is_up = True
        return found

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect_to_write(self._serving_store, self._session)
            self.connections += 1
        return self._connection

    def _lose(self, error: BaseException) -> None:
        refusal = refusal_of("POLLUX_DATABASE_URL", error)
        if self.is_up or not self.interruptions or refusal != self._refusal:
            if refusal is None:
                log.warning("The database does not answer: %s", type(error).__name__)
            else:
                log.error("%s This does not pass by itself.", refusal)
        self.is_up, self._refusal = False, refusal
        self.interruptions += 1
        self.close()
