"""Follows the events of a domain's customers and computes their rows anew.

Belongs here: the order of the steps, and what is done when something fails. Does not belong here:
statements (`repository`), and any rule: the release's own models compute rows.

Killed at any moment it leaves nothing half: rows, and the number of the last event in them, are
written in one transaction. Another release, or another updater, that was quicker makes it begin
again from what is written.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import asyncpg
import pyarrow as pa

from pollux.masking import where_raised
from pollux.runtime import live
from pollux.runtime.live import FOLLOWED
from pollux.runtime.locks import KEEPALIVES
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.events.database.connection import DatabaseWriter, connect_to_write
from services.live import repository, segments
from services.live.metrics import LiveMetrics
from services.live.repository import Position

# Rows of events that are read at once, and customers computed at once: one costs much, each further
# one little. Those without new events are fewer, since others wait meanwhile.
MOST_ROWS = 2_000
MOST_CUSTOMERS, MOST_BEHIND = 200, 50
# Whose rows no model can take.
MOST_LEFT = 50
POLL_SECONDS = 0.5
PAUSE_SECONDS = 2.0
SESSION = {"application_name": "pollux-live", "jit": "off"}
# Its session holds the lock.
WRITER_SESSION = {**SESSION, **KEEPALIVES}

log = logging.getLogger("pollux.live")


class Models(Protocol):
    """The models of a release, which compute the rows of a few customers."""

    def compute(
        self, keys: Sequence[int], lines: pa.Table, live_day: int | None
    ) -> dict[str, pa.Table]:
        """Rows of these customers by mart, from `lines`, all their rows of events."""

    def close(self) -> None:
        """Frees the memory."""


class TooManyLeftError(Exception):
    """So many customers fail that the models are at fault, not their rows."""


OpenModels = Callable[[Path], Models]


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
        self._releases_dir = settings.releases_dir
        self._zone = settings.store_timezone
        self._serving_store = serving_store
        self._writer = DatabaseWriter(serving_store, durable=True, session=WRITER_SESSION)
        self._metrics = metrics
        self._open_models = open_models
        # Where changes of segments are told; None where no broker is used.
        self._segment_topic = segment_topic
        # The release by which all were told of who have no live rows.
        self._told_by = 0
        self._opened: dict[str, tuple[int, Models]] = {}
        self._alone_on = 0
        self._wake = asyncio.Event()
        # Whether this process computes, at the last look.
        self.is_active = False
        # The release and live day by which all live rows of a domain are: looking for others reads
        # all customers.
        self._all_by: dict[str, tuple[int, int | None]] = {}
        # Why nothing is computed, or not everybody, by domain.
        self.problems: dict[str, str] = {}
        # Whose rows no model can take, by domain: nobody else waits for them.
        self._left: dict[str, set[int]] = {domain: set() for domain in FOLLOWED}
        # When to try again after a failure, by domain.
        self._again_at = dict.fromkeys(FOLLOWED, 0.0)
        # Since when an event waits, by domain.
        self._waiting_since: dict[str, float] = {}
        for domain in FOLLOWED:
            metrics.show_lag(domain, partial(self._lag, domain))

    @property
    def is_up(self) -> bool:
        """Whether the database answers."""
        return self._writer.is_up

    async def run(self) -> None:
        """Computes live rows; runs until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                is_busy = False
                self.is_active = await self._lock_or_tell()
                if not self.is_active:
                    self._waiting_since.clear()
                else:
                    for domain in FOLLOWED:
                        is_busy |= await self._update_or_tell(domain)
                if not is_busy:
                    await self._wait(POLL_SECONDS)
        finally:
            listening.cancel()
            self.close()

    def close(self) -> None:
        """Ends the connection, and so lets another process compute; frees the models."""
        self._writer.close()
        while self._opened:
            self._opened.popitem()[1][1].close()

    async def update(self, domain: str) -> bool:
        """Computes the next customers of a domain; returns whether there were any."""
        position = await self._writer.retry(
            lambda connection: repository.read_position(connection, domain)
        )
        if position is None:
            return False
        await self._tell_released(domain, position)
        new = await self._writer.retry(
            lambda connection: repository.read_new(connection, domain, position.number, MOST_ROWS)
        )
        started = time.monotonic()
        if new:
            self._waiting_since[domain] = started - max(one.age for one in new)
        else:
            self._waiting_since.pop(domain, None)
        # Before the first purchase, too: opening them takes longer than computing.
        models = await self._models(domain, position.release)
        if len(new) > MOST_CUSTOMERS:
            # Customers of one order, who have one number, are computed together.
            last = new[MOST_CUSTOMERS - 1].number
            new = [one for one in new if one.number <= last]
        after = Position(
            position.release,
            max((one.number for one in new), default=position.number),
            max((day for day in (position.live_day, *(o.day for o in new)) if day), default=None),
        )
        keys = [one.key for one in new]
        room = MOST_BEHIND - len(keys)
        behind = await self._behind(domain, after, room)
        keys += [key for key in behind if key not in keys]
        if not keys and time.monotonic() >= self._again_at[domain]:
            keys = [*self._left[domain]][:MOST_BEHIND]
            self._again_at[domain] = time.monotonic() + PAUSE_SECONDS
        if not keys:
            self._all_by[domain] = after.release, after.live_day
            return False
        lines = await self._writer.retry(
            lambda connection: repository.read_lines(connection, domain, keys, self._zone)
        )
        computed, marts = await self._compute(domain, models, keys, lines, after.live_day)
        if len(self._left[domain]) > MOST_LEFT:
            # Not customers are the trouble: what they bought is read again.
            raise TooManyLeftError
        if not computed and after == position:
            return False
        numbers = repository.last_events(domain, computed, lines)
        is_written = await self._writer.retry(
            lambda connection: repository.write(
                connection, domain, position, after, numbers, marts, self._segment_topic
            )
        )
        if is_written:
            if len(behind) < room:
                self._all_by[domain] = after.release, after.live_day
            self._metrics.count(domain, len(computed), time.monotonic() - started)
        return True

    async def _tell_released(self, domain: str, position: Position) -> None:
        topic = self._segment_topic
        if domain != segments.DOMAIN or topic is None or self._told_by == position.release:
            return
        if await self._writer.retry(
            lambda connection: repository.tell_released(connection, domain, position, topic)
        ):
            self._told_by = position.release

    def _lag(self, domain: str) -> float:
        since = self._waiting_since.get(domain)
        return 0.0 if since is None else time.monotonic() - since

    async def _behind(self, domain: str, after: Position, limit: int) -> list[int]:
        """Customers whose rows are of another release or an earlier day, at most `limit`."""
        if self._all_by.get(domain) == (after.release, after.live_day):
            return []
        self._all_by.pop(domain, None)
        if limit <= 0:
            return []
        return await self._writer.retry(
            lambda connection: repository.read_behind(
                connection, domain, after, limit, [*self._left[domain]]
            )
        )

    async def _compute(
        self,
        domain: str,
        models: Models,
        keys: Sequence[int],
        lines: pa.Table,
        live_day: int | None,
    ) -> tuple[list[int], dict[str, pa.Table]]:
        """Those whose rows can be computed, and these rows by mart; the others are left."""
        try:
            marts = await asyncio.to_thread(models.compute, keys, lines, live_day)
        except OSError:
            # Of the release's files.
            raise
        except Exception as error:
            if len(keys) == 1:
                self._tell(domain, error)
                self._left[domain].update(keys)
                return [], {}
            computed: list[int] = []
            found: list[dict[str, pa.Table]] = []
            for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
                theirs = repository.lines_of(domain, half, lines)
                some, marts = await self._compute(domain, models, half, theirs, live_day)
                computed += some
                found += [marts] if some else []
            names = found[0] if found else ()
            return computed, {name: pa.concat_tables(one[name] for one in found) for name in names}
        self._left[domain].difference_update(keys)
        return [*keys], marts

    async def _update_or_tell(self, domain: str) -> bool:
        # Other domains do not wait for one that fails.
        if domain in self.problems and not self._left[domain]:
            if time.monotonic() < self._again_at[domain]:
                return False
            self._again_at[domain] = time.monotonic() + PAUSE_SECONDS
        try:
            is_busy = await self.update(domain)
        except Exception as error:
            # Of the database, of a release's folder, of all models: what is written stays.
            self._tell(domain, error)
            return False
        if not self._left[domain]:
            self.problems.pop(domain, None)
        return is_busy

    def _tell(self, domain: str, error: Exception) -> None:
        problem = type(error).__name__
        if self.problems.get(domain) != problem:
            # Errors may have values of rows.
            log.error("Live rows of %s cannot be computed\n%s", domain, where_raised(error))
        self.problems[domain] = problem

    async def _lock_or_tell(self) -> bool:
        try:
            return await self._writer.retry(self._is_only_one)
        except asyncpg.PostgresError as error:
            # The server refuses the lock: without an end, this process would look ready.
            for domain in FOLLOWED:
                self._tell(domain, error)
            await asyncio.sleep(PAUSE_SECONDS)
            return False

    async def _models(self, domain: str, release: int) -> Models:
        opened = self._opened.get(domain)
        if opened is None or opened[0] != release:
            if opened is not None:
                del self._opened[domain]
                opened[1].close()
            # What its build holds is in it; what came since is read again.
            self._left[domain].clear()
            folder = self._releases_dir / domain / f"r{release}" / "live"
            opened = release, await asyncio.to_thread(self._open_models, folder)
            self._opened[domain] = opened
        return opened[1]

    async def _is_only_one(self, connection: asyncpg.Connection) -> bool:
        """Whether no other process computes; the lock goes with the connection."""
        if self._alone_on != self._writer.connections:
            if not await connection.fetchval(repository.ONLY_ONE):
                return False
            self._alone_on = self._writer.connections
            # Another process may have computed since.
            self._all_by.clear()
            log.info("This process computes live rows")
        return True

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

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
