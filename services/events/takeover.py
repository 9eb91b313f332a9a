"""Taking over the session of a worker that does not come back.

Belongs here: noticing its absence, taking its messages, ending its session. Does not belong here:
how messages are handled, which is the same for all.

A broker goes on keeping an absent worker's share of messages, and drops them with the session.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from services.common.database import UNAVAILABLE
from services.events.broker.connection import (
    V5,
    BrokerConnection,
    BrokerRefusesError,
    BrokerUnreachableError,
    Login,
    Message,
)
from services.events.database.connection import DatabaseWriter
from services.events.leader import Leadership

LOOK_SECONDS = 1.0
# A session from which nothing has come for this long is empty.
QUIET_SECONDS = 3.0
KNOWN = "select number from events.workers where number <> $1 order by number"
ENDED = "delete from events.workers where number = $1"

log = logging.getLogger("pollux.events")


class Takeover:
    """The leader takes over from workers that have been away for `patience` seconds."""

    def __init__(
        self,
        *,
        leadership: Leadership,
        writer: DatabaseWriter,
        brokers: Sequence[tuple[str, int]],
        login: Callable[[int], Login],
        topics: Sequence[str],
        on_message: Callable[[Message], None],
        patience: float,
    ) -> None:
        self._leadership = leadership
        self._writer = writer
        self._brokers = brokers
        self._login = login
        self._topics = topics
        self._handle = on_message
        self._patience = patience
        self._away_since: dict[int, float] = {}
        self._last = 0.0

    async def run(self) -> None:
        """Looks for workers that are away; runs until cancelled."""
        while True:
            await self._leadership.is_leader.wait()
            known = await self._writer.retry(
                lambda connection: connection.fetch(KNOWN, self._leadership.number)
            )
            for (number,) in known:
                try:
                    await self._look_at(number)
                except (*UNAVAILABLE, BrokerUnreachableError, BrokerRefusesError) as error:
                    log.warning("Worker %d is not taken over: %s", number, type(error).__name__)
                    self._away_since[number] = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_at(self, number: int) -> None:
        if not await self._leadership.lock(number):
            self._away_since.pop(number, None)
            return
        try:
            since = self._away_since.setdefault(number, time.monotonic())
            if time.monotonic() - since >= self._patience:
                await self._empty(number)
                await self._writer.retry(lambda connection: connection.execute(ENDED, number))
                del self._away_since[number]
        finally:
            await self._leadership.unlock(number)

    async def _empty(self, number: int) -> None:
        """Takes the messages that wait for a worker at every broker, and ends its sessions."""
        log.info("Worker %d is away: its session is taken over", number)
        failed: Exception | None = None
        for host, port in self._brokers:
            connection = BrokerConnection(self._login(number), V5, on_message=self._received)
            try:
                await connection.open(host, port)
                # From here on its share goes to the other workers.
                await connection.unsubscribe(self._topics)
                self._last = time.monotonic()
                await self._wait_until_quiet(connection)
            except (BrokerUnreachableError, BrokerRefusesError) as error:
                # Other brokers have messages, too; this one is tried again.
                connection.close()
                failed = error
            except BaseException:
                connection.close()
                raise
            else:
                connection.close(ends_session=True)
        if failed is not None:
            raise failed

    async def _wait_until_quiet(self, connection: BrokerConnection) -> None:
        while connection.has_receipts or time.monotonic() - self._last < QUIET_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            connection.keep_alive()
            if not connection.is_open:
                raise BrokerUnreachableError("the connection was lost")

    def _received(self, message: Message) -> None:
        self._last = time.monotonic()
        self._handle(message)
