"""Retention: which rows of schema `events` are deleted, and when.

Decisions, conversions, members and open dead letters are kept for good.
"""

import asyncio
from datetime import timedelta

import asyncpg

from pollux.runtime.serving import ServingStore
from services.events.database.connection import DatabaseWriter

EVERY_SECONDS = 3600.0
# As many as one statement deletes well within its timeout.
AT_ONCE = 10_000
OLD = "< clock_timestamp() - $1::interval"
UNUSED = "not exists (select from events.outbox where outbox.document_key = documents.document_key)"
# Answers before the documents that they refer to.
DELETED = (
    ("inbox", "event_key", f"received_at {OLD}"),
    ("outbox", "number", f"published_at {OLD}"),
    ("dead_letter", "id", f"resolved_at {OLD}"),
    ("documents", "document_key", f"made_at {OLD} and {UNUSED}"),
)


class Retention:
    """Deletes what is older than `age`, on a connection of its own."""

    def __init__(self, serving_store: ServingStore, age: timedelta) -> None:
        self._writer = DatabaseWriter(serving_store, durable=False)
        self._age = age

    async def run(self) -> None:
        """Deletes now and every hour; runs until cancelled."""
        while True:
            await self.delete_old()
            await asyncio.sleep(EVERY_SECONDS)

    async def delete_old(self) -> None:
        """Deletes what is older than the retention, in parts."""
        for table, key, condition in DELETED:
            while await self._delete(table, key, condition) == AT_ONCE:
                pass

    def close(self) -> None:
        """Ends the connection."""
        self._writer.close()

    async def _delete(self, table: str, key: str, condition: str) -> int:
        statement = (
            f"delete from events.{table} where {key} = any(array("
            f"select {key} from events.{table} where {condition} limit {AT_ONCE}))"
        )
        try:
            done = await self._writer.retry(
                lambda connection: connection.execute(statement, self._age)
            )
        except asyncpg.ForeignKeyViolationError:
            # A new answer refers to one of these documents: tried again in an hour.
            return 0
        return int(done.split()[-1])
