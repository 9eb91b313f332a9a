"""Which worker has which number, and which one leads: only the leader takes the ordered topics.

Both are advisory locks in PostgreSQL, which are released when their holder is gone.
"""

import asyncio
import logging
import time

import asyncpg

from pollux.runtime.errors import PolluxError
from pollux.runtime.locks import KEEPALIVES, LockSpace
from pollux.runtime.serving import ServingStore
from services.common.database import UNAVAILABLE
from services.events.database.connection import connect_to_write

LEADER = 0
MAX_WORKERS = 32
CHECK_SECONDS = 1.0
SESSION = {"application_name": "pollux-events-leader", **KEEPALIVES}
# Longer than the server needs to notice that a connection of our own is gone.
LOST_SECONDS = 20.0
TRY = "select pg_try_advisory_lock($1, $2)"
STARTED = "insert into events.workers (number) values ($1) on conflict do nothing"
KNOWN = "select count(*) from events.workers"

log = logging.getLogger("pollux.events")


class WorkerNumberError(PolluxError):
    """Another worker took this one's number while the database was away."""

    exit_code = 3


class Leadership:
    """The worker's number, the smallest that is free, and whether it is the leader."""

    def __init__(self, serving_store: ServingStore) -> None:
        self._serving_store = serving_store
        self._connection: asyncpg.Connection | None = None
        self._one_at_a_time = asyncio.Lock()
        self.number = 0
        # Whether no other worker, running or not, has a session at the broker.
        self.is_alone = True
        self.is_leader = asyncio.Event()

    async def take_number(self) -> int:
        """Takes a number when the database answers; raises `WorkerNumberError` if none is free."""
        while not self.number:
            try:
                connection = await self._connect()
                for number in range(1, MAX_WORKERS + 1):
                    if await connection.fetchval(TRY, LockSpace.WORKERS, number):
                        await connection.execute(STARTED, number)
                        self.is_alone = await connection.fetchval(KNOWN) == 1
                        self.number = number
                        break
                else:
                    raise WorkerNumberError(f"{MAX_WORKERS} workers run already.")
            except UNAVAILABLE:
                await asyncio.sleep(CHECK_SECONDS)
        return self.number

    async def keep(self) -> None:
        """Keeps the number, and leads when nobody else does; runs until cancelled."""
        while True:
            try:
                async with self._one_at_a_time:
                    await self._look(await self._connect())
            except UNAVAILABLE:
                # The locks went with the connection; the broker keeps what comes meanwhile.
                self.close()
            await asyncio.sleep(CHECK_SECONDS)

    async def lock(self, number: int) -> bool:
        """Takes another worker's number, unless that worker runs; raises as asyncpg does."""
        async with self._one_at_a_time:
            connection = await self._connect()
            return bool(await connection.fetchval(TRY, LockSpace.WORKERS, number))

    async def unlock(self, number: int) -> None:
        """Gives that number back; raises as asyncpg does."""
        async with self._one_at_a_time:
            connection = await self._connect()
            await connection.execute("select pg_advisory_unlock($1, $2)", LockSpace.WORKERS, number)

    def close(self) -> None:
        """Gives the number and the leadership back."""
        self.is_leader.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection) -> None:
        if not self.is_leader.is_set() and await connection.fetchval(
            TRY, LockSpace.WORKERS, LEADER
        ):
            log.info(
                "Worker %d leads: it takes the loyalty list, conversions, purchases", self.number
            )
            self.is_leader.set()
        self.is_alone = await connection.fetchval(KNOWN) == 1

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self.is_leader.clear()
        connection = await connect_to_write(self._serving_store, SESSION)
        try:
            if self.number:
                await self._take_again(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    async def _take_again(self, connection: asyncpg.Connection) -> None:
        deadline = time.monotonic() + LOST_SECONDS
        # Our own previous connection may still hold it.
        while not await connection.fetchval(TRY, LockSpace.WORKERS, self.number):
            if time.monotonic() > deadline:
                raise WorkerNumberError(
                    f"Another worker took number {self.number} while the database was away; "
                    "start this one again."
                )
            await asyncio.sleep(CHECK_SECONDS)
        # The leader may have taken this worker for one that stays away.
        await connection.execute(STARTED, self.number)
