"""Who is which worker, and whose turn the ordered topics are.

Belongs here: numbers and turns, held in PostgreSQL as advisory locks, which go with whoever held
them. Does not belong here: what is done with them.
"""

import asyncio
import logging
import time

import asyncpg

from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import ServingStore
from services.common.database import COMMAND_SECONDS, CONNECT_SECONDS, UNAVAILABLE
from services.common.database import asyncpg_arguments as arguments

# Any number of ours; the second key is the worker's number, 0 for the ordered topics.
SPACE = 7_655_902
CLUB = 0
MAX_WORKERS = 32
CHECK_SECONDS = 1.0
# What a worker that is gone held is free when the server notices: by default after two hours.
SESSION = {
    "application_name": "pollux-events-turns",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
# Longer than the server needs to notice that a connection of our own is gone.
LOST_SECONDS = 20.0
TRY = "select pg_try_advisory_lock($1, $2)"
STARTED = "insert into events.workers (number) values ($1) on conflict do nothing"
KNOWN = "select count(*) from events.workers"

log = logging.getLogger("pollux.events")


class TurnLostError(PolluxError):
    """Another worker took this one's number while the database was away."""

    exit_code = 3


class Turns:
    """The worker's number, the smallest that is free, and whether it has the ordered topics."""

    def __init__(self, store: ServingStore) -> None:
        self._dsn, self._settings = arguments(store.owner_url, SESSION)
        self._connection: asyncpg.Connection | None = None
        self._one_at_a_time = asyncio.Lock()
        self.number = 0
        # Whether no other worker has a session at the broker, be it there or not.
        self.is_alone = True
        self.has_club = asyncio.Event()

    async def take_number(self) -> int:
        """Takes a number, waiting for the database; raises `TurnLostError` where none is free."""
        while not self.number:
            try:
                connection = await self._connect()
                for number in range(1, MAX_WORKERS + 1):
                    if await connection.fetchval(TRY, SPACE, number):
                        await connection.execute(STARTED, number)
                        self.is_alone = await connection.fetchval(KNOWN) == 1
                        self.number = number
                        break
                else:
                    raise TurnLostError(f"{MAX_WORKERS} workers run already.")
            except UNAVAILABLE:
                await asyncio.sleep(CHECK_SECONDS)
        return self.number

    async def keep(self) -> None:
        """Keeps the number, and takes the ordered topics when they are free; until cancelled."""
        while True:
            try:
                async with self._one_at_a_time:
                    await self._look(await self._connect())
            except UNAVAILABLE:
                # The locks went with the connection; the broker keeps what comes meanwhile.
                self.close()
            await asyncio.sleep(CHECK_SECONDS)

    async def take(self, number: int) -> bool:
        """Takes the number of a worker that is away, if it is; raises as asyncpg does."""
        async with self._one_at_a_time:
            connection = await self._connect()
            return bool(await connection.fetchval(TRY, SPACE, number))

    async def give_back(self, number: int) -> None:
        """Lets somebody else be that worker; raises as asyncpg does."""
        async with self._one_at_a_time:
            connection = await self._connect()
            await connection.execute("select pg_advisory_unlock($1, $2)", SPACE, number)

    def close(self) -> None:
        """Gives everything back."""
        self.has_club.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _look(self, connection: asyncpg.Connection) -> None:
        if not self.has_club.is_set() and await connection.fetchval(TRY, SPACE, CLUB):
            log.info("Worker %d takes the loyalty list and conversions", self.number)
            self.has_club.set()
        self.is_alone = await connection.fetchval(KNOWN) == 1

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self.has_club.clear()
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=self._settings,
        )
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
        # Our own connection of before may hold it still.
        while not await connection.fetchval(TRY, SPACE, self.number):
            if time.monotonic() > deadline:
                raise TurnLostError(
                    f"Another worker took number {self.number} while the database was away; "
                    "start this one again."
                )
            await asyncio.sleep(CHECK_SECONDS)
        # Another may have taken it for one that stays away.
        await connection.execute(STARTED, self.number)
