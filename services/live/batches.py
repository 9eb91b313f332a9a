"""The batches of a domain: which customers are next, their rows, and writing these.

Belongs here: the order of the steps, and what is done when one fails. Does not belong here:
statements (`repository`), and any rule: the release's own models compute rows.

While a batch is written the next one is computed, by where the domain will then be; it is written
only once the one before is. Killed at any moment it leaves nothing half: rows, and the number of
the last event in them, are written in one transaction. Another release, or another updater, that
was quicker makes it begin again from what is written.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import asyncpg
import pyarrow as pa

from pollux.masking import where_raised
from pollux.runtime.settings import Settings
from services.live import repository, segments
from services.live.database import Database
from services.live.metrics import LiveMetrics
from services.live.repository import Position

# Rows of events that are read at once, and customers computed at once: one costs much, each further
# one little. Those without new events are fewer, since others wait meanwhile.
MOST_ROWS = 2_000
MOST_CUSTOMERS, MOST_BEHIND = 200, 50
# Whose rows no model can take.
MOST_LEFT = 50
PAUSE_SECONDS = 2.0

log = logging.getLogger("pollux.live")


class Models(Protocol):
    """The models of a release, which compute the rows of a few customers."""

    def compute(
        self, keys: Sequence[int], lines: pa.Table, live_day: int | None
    ) -> dict[str, pa.Table]:
        """Rows of these customers by mart, from `lines`, all their rows of events."""

    def look_again(self) -> None:
        """Closes files that an erasure has replaced."""

    def close(self) -> None:
        """Frees the memory."""


OpenModels = Callable[[Path], Models]


class TooManyLeftError(Exception):
    """So many customers fail that the models are at fault, not their rows."""


class Computed(NamedTuple):
    """Rows by mart of customers, and why those of others cannot be computed."""

    keys: list[int]
    marts: Mapping[str, pa.Table]
    failed: Mapping[int, Exception]


class Batch(NamedTuple):
    """Rows that are to be written, which take the domain from a position to the next."""

    before: Position
    after: Position
    asked: Sequence[int]
    computed: Computed
    # The last row of events in each one's rows.
    numbers: Mapping[int, int]
    # Whether the rows of everybody else are of this release and day, too.
    is_last: bool
    # When it was read, and since when an event in it waits.
    started: float
    waiting_since: float | None


class Writing(NamedTuple):
    """A batch that is being written."""

    batch: Batch
    task: asyncio.Task[bool]


class Batches:
    """Computes the live rows of a domain, batch by batch."""

    def __init__(
        self,
        domain: str,
        settings: Settings,
        database: Database,
        metrics: LiveMetrics,
        open_models: OpenModels,
        *,
        wake: asyncio.Event,
        segment_topic: str | None,
    ) -> None:
        self._domain = domain
        self._releases_dir = settings.releases_dir / domain
        self._zone = settings.store_timezone
        self._database = database
        self._metrics = metrics
        self._open_models = open_models
        # Set when a purchase is written.
        self._wake = wake
        # Where changes of segments are told; None where there are none, or no broker is used.
        self._segment_topic = segment_topic if domain == segments.DOMAIN else None
        # The release by which all were told of who have no live rows.
        self._told_by = 0
        self._opened: tuple[int, Models] | None = None
        # The release and live day by which all live rows are: looking for others reads all
        # customers.
        self._all_by: tuple[int, int | None] | None = None
        self._writing: Writing | None = None
        # Why nothing is computed, or not everybody.
        self.problem: str | None = None
        # Whose rows no model can take: nobody else waits for them.
        self._left: set[int] = set()
        # When to try again after a failure.
        self._again_at = 0.0
        # Since when an event waits that was read last.
        self._waiting_since: float | None = None
        metrics.show_lag(domain, self._lag)

    async def update_or_tell(self) -> bool:
        """`update`; a failure is told, and the next try waits a little."""
        if self.problem is not None and not self._left and self._writing is None:
            if time.monotonic() < self._again_at:
                return False
            self._again_at = time.monotonic() + PAUSE_SECONDS
        try:
            return await self.update()
        except Exception as error:
            # Of the database, of a release's folder, of all models: what is written stays.
            self.tell(error)
            return False

    async def update(self) -> bool:
        """Computes the next customers, and begins to write their rows.

        Returns False when there were none, and all rows are written.
        """
        writing = self._writing
        if writing is not None and writing.task.done() and not await self._is_written(writing):
            return True
        batch = await self._next()
        writing = self._writing
        if batch is None:
            if writing is None:
                self._end_problem()
                return False
            return not (await self._is_done_first(writing) and await self._is_written(writing))
        if writing is None or await self._is_written(writing):
            self._begin(batch)
        # Else it was computed by what is not there.
        return True

    def tell(self, error: Exception) -> None:
        """Says why nothing is computed, or not everybody."""
        problem = type(error).__name__
        if self.problem != problem:
            # Errors may have values of rows.
            told = where_raised(error)
            log.error("Live rows of %s cannot be computed\n%s", self._domain, told)
        self.problem = problem

    def begin_again(self) -> None:
        """Drops what is not written yet: another process computes, or may have."""
        if self._writing is not None:
            self._writing.task.cancel()
        self._writing = self._all_by = self._waiting_since = None

    def close(self) -> None:
        """Frees the models' memory."""
        if self._opened is not None:
            self._opened[1].close()
        self._opened = None

    async def _next(self) -> Batch | None:
        """Reads who is next, and computes their rows; None where there is nobody."""
        before = await self._position()
        if before is None:
            return None
        await self._tell_released(before)
        new = await self._database.read(
            lambda connection: repository.read_new(
                connection, self._domain, before.number, MOST_ROWS
            )
        )
        started = time.monotonic()
        self._waiting_since = started - max(one.age for one in new) if new else None
        # Before the first purchase, too: opening them takes longer than computing.
        models = await self._models(before.release)
        if len(new) > MOST_CUSTOMERS:
            # Customers of one order, who have one number, are computed together.
            last = new[MOST_CUSTOMERS - 1].number
            new = [one for one in new if one.number <= last]
        after = Position(
            before.release,
            max((one.number for one in new), default=before.number),
            max((day for day in (before.live_day, *(o.day for o in new)) if day), default=None),
        )
        keys = [one.key for one in new]
        room = MOST_BEHIND - len(keys)
        behind = await self._behind(after, room)
        keys += [key for key in behind if key not in keys]
        if not keys and time.monotonic() >= self._again_at:
            keys = [*self._left][:MOST_BEHIND]
            self._again_at = time.monotonic() + PAUSE_SECONDS
        if not keys:
            self._all_by = after.release, after.live_day
            return None
        lines = await self._database.read(
            lambda connection: repository.read_lines(connection, self._domain, keys, self._zone)
        )
        computed = await self._compute(models, keys, lines, after.live_day)
        return Batch(
            before,
            after,
            keys,
            computed,
            repository.last_events(self._domain, computed.keys, lines),
            is_last=len(behind) < room,
            started=started,
            waiting_since=self._waiting_since,
        )

    async def _position(self) -> Position | None:
        """Where the domain is, or will be once the batch before is written."""
        found = await self._database.read(
            lambda connection: repository.read_position(connection, self._domain)
        )
        if self._writing is not None and self._writing.batch.before == found:
            return self._writing.batch.after
        return found

    async def _tell_released(self, position: Position) -> None:
        topic = self._segment_topic
        if topic is None or self._told_by == position.release:
            return
        if await self._database.writer.retry(
            lambda connection: repository.tell_released(connection, self._domain, position, topic)
        ):
            self._told_by = position.release

    async def _models(self, release: int) -> Models:
        if self._opened is None or self._opened[0] != release:
            self.close()
            # What its build holds is in it; what came since is read again.
            self._left.clear()
            folder = self._releases_dir / f"r{release}" / "live"
            self._opened = release, await asyncio.to_thread(self._open_models, folder)
        models = self._opened[1]
        # Without a purchase, too: what was erased is on the disk as long as a file is open.
        models.look_again()
        return models

    async def _behind(self, after: Position, limit: int) -> list[int]:
        """Customers whose rows are of another release or an earlier day, at most `limit`."""
        by = after.release, after.live_day
        if self._all_by == by:
            return []
        self._all_by = None
        if limit <= 0:
            return []
        besides = {*self._left}
        if self._writing is not None:
            batch, task = self._writing
            if (batch.after.release, batch.after.live_day) == by:
                besides.update(batch.asked)
            else:
                # They will be behind.
                await asyncio.wait([task])
        return await self._database.read(
            lambda connection: repository.read_behind(
                connection, self._domain, after, limit, [*besides]
            )
        )

    async def _compute(
        self, models: Models, keys: Sequence[int], lines: pa.Table, live_day: int | None
    ) -> Computed:
        """Rows of those whose rows can be computed."""
        try:
            marts = await asyncio.to_thread(models.compute, keys, lines, live_day)
        except OSError:
            # Of the release's files.
            raise
        except Exception as error:
            if len(keys) == 1:
                return Computed([], {}, {keys[0]: error})
            parts = []
            for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
                theirs = repository.lines_of(self._domain, half, lines)
                parts.append(await self._compute(models, half, theirs, live_day))
            found = [part.marts for part in parts if part.keys]
            names = found[0] if found else ()
            return Computed(
                [key for part in parts for key in part.keys],
                {name: pa.concat_tables(one[name] for one in found) for name in names},
                {key: error for part in parts for key, error in part.failed.items()},
            )
        return Computed([*keys], marts, {})

    def _begin(self, batch: Batch) -> None:
        """Begins to write a batch; whose rows no model can take is left."""
        failed = batch.computed.failed
        for error in failed.values():
            self.tell(error)
        if len(self._left | failed.keys()) > MOST_LEFT:
            # Not customers are the trouble: what they bought is read again.
            raise TooManyLeftError
        self._left |= failed.keys()
        if batch.computed.keys or batch.after != batch.before:
            task = self._database.begin(lambda connection: self._write(connection, batch))
            self._writing = Writing(batch, task)

    async def _write(self, connection: asyncpg.Connection, batch: Batch) -> bool:
        is_written = await repository.write(
            connection,
            self._domain,
            batch.before,
            batch.after,
            batch.numbers,
            batch.computed.marts,
            self._segment_topic,
        )
        if is_written:
            seconds = time.monotonic() - batch.started
            self._metrics.count(self._domain, len(batch.computed.keys), seconds)
        return is_written

    async def _is_written(self, writing: Writing) -> bool:
        """Waits for the write; False where another release or updater was quicker."""
        batch = writing.batch
        is_written = False
        try:
            is_written = await writing.task
        finally:
            self._writing = None
            if not is_written:
                self._all_by = None
        if is_written:
            self._left.difference_update(batch.computed.keys)
            self._end_problem()
            if batch.is_last:
                self._all_by = batch.after.release, batch.after.live_day
        return is_written

    async def _is_done_first(self, writing: Writing) -> bool:
        """Waits for the write, or for a purchase; whether the write is done."""
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait([writing.task, woken], return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        return writing.task.done()

    def _end_problem(self) -> None:
        if not self._left:
            self.problem = None

    def _lag(self) -> float:
        waiting = [self._waiting_since]
        if self._writing is not None and not self._writing.task.done():
            waiting.append(self._writing.batch.waiting_since)
        since = [one for one in waiting if one is not None]
        return time.monotonic() - min(since) if since else 0.0
