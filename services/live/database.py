"""The updater's two connections: one holds the lock and writes, one reads while that is busy."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from pollux.runtime.locks import KEEPALIVES
from pollux.runtime.serving import ServingStore
from services.events.database.connection import DatabaseWriter

SESSION = {"application_name": "pollux-live", "jit": "off"}
# Its session holds the lock.
WRITER_SESSION = {**SESSION, **KEEPALIVES}

T = TypeVar("T")
Work = Callable[[asyncpg.Connection], Awaitable[T]]


class Database:
    """Reads and writes, tried until the database answers; one write after the other."""

    def __init__(self, serving_store: ServingStore) -> None:
        self.writer = DatabaseWriter(serving_store, durable=True, session=WRITER_SESSION)
        self._reader = DatabaseWriter(serving_store, durable=True, session=SESSION)
        self._writes: set[asyncio.Task[bool]] = set()

    @property
    def is_writing(self) -> bool:
        """Whether something is being written."""
        return bool(self._writes)

    async def read(self, work: Work[T]) -> T:
        """What `work` reads, without waiting for what is being written.

        Otherwise by the connection that writes: a lost one is noticed.
        """
        return await (self._reader if self.is_writing else self.writer).retry(work)

    def begin(self, work: Work[bool]) -> asyncio.Task[bool]:
        """Begins to write."""
        task = asyncio.create_task(self.writer.retry(work))
        self._writes.add(task)
        task.add_done_callback(self._end)
        return task

    def close(self) -> None:
        """Ends the connections, and so lets another process compute."""
        self.writer.close()
        self._reader.close()

    def _end(self, task: asyncio.Task[bool]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            # Of a write that nobody waits for any more, asyncio would log the values.
            task.exception()
