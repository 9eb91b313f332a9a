"""Retention: which rows of schema `events` are deleted, and when.

Conversions, members, purchases and decisions are not the service's to delete.
"""

import asyncio
import logging
from datetime import timedelta
from typing import NamedTuple

import asyncpg

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.events.database.connection import DatabaseWriter

EVERY_SECONDS = 3600.0
# As many as one statement deletes well within its timeout.
AT_ONCE = 10_000
OLD = "< clock_timestamp() - $1::interval"
# Which segment a household was last told to be in stays, and by what an erasure finds messages.
SUPERSEDED = """
exists (
    select from events.segment_changes as later
    where
        later.household_key = segment_changes.household_key
        and later.number > segment_changes.number
)
and not exists (select from events.outbox where outbox.answer_id = segment_changes.answer_id)
"""
UNUSED = "not exists (select from events.outbox where outbox.document_key = documents.document_key)"

log = logging.getLogger("pollux.events")


class Rule(NamedTuple):
    """Rows of a table that fulfil a condition go; $1 is their age."""

    table: str
    key: str
    condition: str
    age: timedelta


def rules(settings: Settings) -> list[Rule]:
    """What goes, answers before the documents that they refer to, and the changes they tell of."""
    done = timedelta(days=settings.events_retention_days)
    unread = timedelta(days=settings.dead_letters_retention_days)
    return [
        Rule("inbox", "event_key", f"received_at {OLD}", done),
        Rule("outbox", "number", f"published_at {OLD}", done),
        Rule("documents", "document_key", f"made_at {OLD} and {UNUSED}", done),
        Rule("segment_changes", "number", f"changed_at {OLD} and {SUPERSEDED}", done),
        Rule("dead_letter", "id", f"resolved_at {OLD}", done),
        Rule("dead_letter", "id", f"received_at {OLD}", unread),
    ]


class Retention:
    """Deletes what is older than the settings say, on a connection of its own."""

    def __init__(self, serving_store: ServingStore, settings: Settings) -> None:
        self._writer = DatabaseWriter(serving_store, durable=False)
        self._rules = rules(settings)

    async def run(self) -> None:
        """Deletes now and every hour; runs until cancelled."""
        while True:
            await self.delete_old()
            await asyncio.sleep(EVERY_SECONDS)

    async def delete_old(self) -> None:
        """Deletes what is old, in parts, and logs how much."""
        for rule in self._rules:
            deleted = found = await self._delete(rule)
            while found == AT_ONCE:
                found = await self._delete(rule)
                deleted += found
            if deleted:
                log.info("%d rows of events.%s were old enough to go", deleted, rule.table)

    def close(self) -> None:
        """Ends the connection."""
        self._writer.close()

    async def _delete(self, rule: Rule) -> int:
        statement = (
            f"delete from events.{rule.table} where {rule.key} = any(array("
            f"select {rule.key} from events.{rule.table} where {rule.condition} limit {AT_ONCE}))"
        )
        try:
            done = await self._writer.retry(
                lambda connection: connection.execute(statement, rule.age)
            )
        except asyncpg.ForeignKeyViolationError:
            # A new answer refers to one of these documents: tried again in an hour.
            return 0
        return int(done.split()[-1])
