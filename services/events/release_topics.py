"""The retained message of each domain's current release.

Belongs here: when it is published, over whose connection, and what a broker that refuses it means.
Does not belong here: what it says (`pollux.runtime.release_documents`).

The leader publishes, and nobody else: two workers that learn of a release at different moments
could leave the older message behind. Every new connection begins with all of them, since a broker
may have forgotten what it kept.
"""

import asyncio
import logging
from contextlib import suppress

import asyncpg

from pollux.runtime.release_documents import RELEASE_DOCUMENTS
from services.common.database import Database
from services.common.problems import ProblemError
from services.events.broker.connection import BrokerConnection, TooLongError

# A switch there and back can go unnoticed; what the message says of its time is read again.
LOOK_SECONDS = 5.0
RETRY_SECONDS = 1.0
# Some brokers close the connection over a forbidden topic.
MAX_LOST = 2
DOCUMENTS = f"select domain, document::text from ({RELEASE_DOCUMENTS}) as told order by domain"

log = logging.getLogger("pollux.events")


class ReleaseTopics:
    """Publishes under `topic` over the leader's connection, while there is one."""

    def __init__(self, database: Database, topic: str) -> None:
        self._database = database
        self._topic = topic
        self._connection: BrokerConnection | None = None
        # The last message on this connection by domain, and what the broker has not confirmed.
        self._published: dict[str, str] = {}
        self._under_way: set[int] = set()
        self._lost = 0
        self._is_told = False
        self._news = asyncio.Event()

    def use_connection(self, connection: BrokerConnection | None) -> None:
        """Switches to a new connection; None where it was lost, or this worker does not lead."""
        if connection is None and self._under_way:
            self._lost += 1
            if self._lost == MAX_LOST:
                self._tell("The broker closes the connection over %s/…, which is published no more")
        self._connection = connection
        self._published.clear()
        self._under_way.clear()
        self.notice_releases()

    def notice_releases(self) -> None:
        """Makes it look at once: a release may be new."""
        self._news.set()

    def on_acknowledged(self, mid: int, is_accepted: bool) -> None:
        """Notes that the broker has a message, or refuses it."""
        if mid not in self._under_way:
            return
        self._under_way.discard(mid)
        if is_accepted:
            self._lost = 0
        else:
            self._tell("The broker refuses messages on %s/…: its access control must allow them")

    async def run(self) -> None:
        """Publishes what is new; runs until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            self._news.clear()
            if self._connection is None:
                continue
            try:
                await self._publish_news()
            except (ProblemError, asyncpg.PostgresError):
                await asyncio.sleep(RETRY_SECONDS)
                self._news.set()

    async def _publish_news(self) -> None:
        documents = await self._read()
        connection = self._connection
        if connection is None or self._lost >= MAX_LOST:
            return
        for domain, document in documents.items():
            if not connection.is_open or self._published.get(domain) == document:
                continue
            try:
                mid = connection.publish(
                    f"{self._topic}/{domain}", document.encode(), {}, is_retained=True
                )
            except TooLongError as error:
                log.error("The release of %s is not published: %s", domain, error)  # noqa: TRY400
                mid = 0
            if mid is not None:
                self._published[domain] = document
            if mid:
                self._under_way.add(mid)

    def _tell(self, what: str) -> None:
        if not self._is_told:
            self._is_told = True
            log.error(what, self._topic)

    async def _read(self) -> dict[str, str]:
        try:
            return dict(await self._database.fetch(DOCUMENTS))
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            # The first release makes them.
            return {}
