"""Follows the events of all domains' customers, while no other process does.

Belongs here: who computes, and when. Does not belong here: what is computed (`batches`).
"""

import asyncio
import logging

import asyncpg

from pollux.runtime import live
from pollux.runtime.live import FOLLOWED
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.events.database.connection import connect_to_write
from services.live import repository
from services.live.batches import PAUSE_SECONDS, Batches, OpenModels
from services.live.database import SESSION, Database
from services.live.metrics import LiveMetrics

POLL_SECONDS = 0.5

log = logging.getLogger("pollux.live")


class Updater:
    """Computes live rows until it is cancelled."""

    def __init__(
        self,
        settings: Settings,
        serving_store: ServingStore,
        metrics: LiveMetrics,
        open_models: OpenModels,
        *,
        segment_topic: str | None = None,
    ) -> None:
        self._serving_store = serving_store
        self._database = Database(serving_store)
        self._alone_on = 0
        self._wake = asyncio.Event()
        # Whether this process computes, at the last look.
        self.is_active = False
        self._batches = {
            domain: Batches(
                domain,
                settings,
                self._database,
                metrics,
                open_models,
                wake=self._wake,
                segment_topic=segment_topic,
            )
            for domain in FOLLOWED
        }

    @property
    def is_up(self) -> bool:
        """Whether the database answers."""
        return self._database.writer.is_up

    @property
    def problems(self) -> dict[str, str]:
        """Why nothing is computed, or not everybody, by domain."""
        found = {domain: batches.problem for domain, batches in self._batches.items()}
        return {domain: problem for domain, problem in found.items() if problem is not None}

    async def run(self) -> None:
        """Computes live rows; runs until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                is_busy = False
                self._wake.clear()
                # What is written shows whether the connection is there, and with it the lock.
                if not self._database.is_writing or self._is_connected_anew:
                    self.is_active = await self._lock_or_tell()
                for batches in self._batches.values():
                    if self.is_active:
                        is_busy |= await batches.update_or_tell()
                    else:
                        batches.begin_again()
                if not is_busy:
                    await self._wait(POLL_SECONDS)
        finally:
            listening.cancel()
            for batches in self._batches.values():
                batches.begin_again()
            self.close()

    def close(self) -> None:
        """Ends the connections, and so lets another process compute; frees the models."""
        self._database.close()
        for batches in self._batches.values():
            batches.close()

    async def update(self, domain: str) -> bool:
        """Computes the next customers of a domain, and begins to write their rows.

        Returns False when there were none, and all rows are written.
        """
        return await self._batches[domain].update()

    @property
    def _is_connected_anew(self) -> bool:
        return self._alone_on != self._database.writer.connections

    async def _lock_or_tell(self) -> bool:
        try:
            return await self._database.writer.retry(self._is_only_one)
        except asyncpg.PostgresError as error:
            # The server refuses the lock: without an end, this process would look ready.
            for batches in self._batches.values():
                batches.tell(error)
            await asyncio.sleep(PAUSE_SECONDS)
            return False

    async def _is_only_one(self, connection: asyncpg.Connection) -> bool:
        """Whether no other process computes; the lock goes with the connection."""
        if self._is_connected_anew:
            if not await connection.fetchval(repository.ONLY_ONE):
                return False
            self._alone_on = self._database.writer.connections
            # Another process may have computed since.
            for batches in self._batches.values():
                batches.begin_again()
            log.info("This process computes live rows")
        return True

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _listen(self) -> None:
        """Wakes the updater when a purchase is written; without a connection it looks anyway."""
        while True:
            try:
                connection = await connect_to_write(self._serving_store, SESSION)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            ended = asyncio.Event()
            try:
                connection.add_termination_listener(lambda _, ended=ended: ended.set())
                await connection.add_listener(live.PURCHASES, lambda *_: self._wake.set())
                await ended.wait()
            finally:
                connection.terminate()
