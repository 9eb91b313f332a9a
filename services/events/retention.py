"""What is forgotten in time.

Belongs here: which rows of schema `events` go, and after how long. Does not belong here: what is
kept for good: decisions, conversions, members, and dead letters that are open.
"""

import asyncio
from datetime import timedelta

import asyncpg

from pollux.runtime.serving import ServingStore
from services.events.ledger import Ledger

EVERY_SECONDS = 3600.0
# As many as one statement deletes well within its time.
AT_ONCE = 10_000
EVENTS = f"""
delete from events.inbox
where
    event_key = any (array (
        select event_key
        from events.inbox
        where received_at < clock_timestamp() - $1::interval
        limit {AT_ONCE}
    ))
"""
ANSWERS = f"""
delete from events.outbox
where
    number = any (array (
        select number
        from events.outbox
        where published_at < clock_timestamp() - $1::interval
        limit {AT_ONCE}
    ))
"""
DEAD_LETTERS = f"""
delete from events.dead_letter
where
    id = any (array (
        select id
        from events.dead_letter
        where resolved_at < clock_timestamp() - $1::interval
        limit {AT_ONCE}
    ))
"""
DOCUMENTS = f"""
delete from events.documents
where
    document_key = any (array (
        select document_key
        from events.documents
        where
            made_at < clock_timestamp() - $1::interval
            and not exists (
                select from events.outbox where outbox.document_key = documents.document_key
            )
        limit {AT_ONCE}
    ))
"""


class Retention:
    """Deletes what is older than `age`, on a connection of its own."""

    def __init__(self, store: ServingStore, age: timedelta) -> None:
        self._ledger = Ledger(store, durable=False)
        self._age = age

    async def run(self) -> None:
        """Deletes now and every hour; runs until cancelled."""
        while True:
            for statement in (EVENTS, ANSWERS, DEAD_LETTERS, DOCUMENTS):
                while await self._forget(statement) == AT_ONCE:
                    pass
            await asyncio.sleep(EVERY_SECONDS)

    def close(self) -> None:
        """Ends the connection."""
        self._ledger.close()

    async def _forget(self, statement: str) -> int:
        try:
            done = await self._ledger.do(
                lambda connection: connection.execute(statement, self._age)
            )
        except asyncpg.ForeignKeyViolationError:
            # A new answer refers to a document of these: the next hour knows.
            return 0
        return int(done.split()[-1])
