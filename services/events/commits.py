"""What a group of entry and focus events writes, in one transaction.

Belongs here: the statements. Does not belong here: what an event leads to.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services.events import messages, promotions
from services.events.catalogue import Document
from services.events.contexts import Context
from services.events.outbox import LEASE_SECONDS, Answer

# Of an event that was here before, nothing is written and nothing answered.
WRITE = f"""
with
    arrived as (
        insert into events.inbox (event_key, kind, worker)
        select event_key, kind, $1
        from unnest($2::uuid[], $3::text[]) as event (event_key, kind)
        on conflict do nothing
        returning event_key
    ),
    decided as (
        insert into events.decisions (
            event_key, kind, customer_id, department, event_at, event_date, outcome, reason,
            coupon_id, prediction, answer_id, release, model
        )
        select event.*
        from
            unnest(
                $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::date[],
                $8::text[], $9::text[], $10::bigint[], $11::float8[], $12::uuid[], $13::int[],
                $14::text[]
            ) as event (
                event_key, kind, customer_id, department, event_at, event_date, outcome, reason,
                coupon_id, prediction, answer_id, release, model
            )
        inner join arrived using (event_key)
        on conflict do nothing
        returning event_key
    ),
    queued as (
        insert into events.outbox (
            event_key, answer_id, topic, opening, document_key, closing, worker, leased_until
        )
        select answer.*, $1, clock_timestamp() + interval '{LEASE_SECONDS} s'
        from
            unnest(
                $15::uuid[], $16::uuid[], $17::text[], $18::bytea[], $19::uuid[], $20::bytea[]
            ) as answer (event_key, answer_id, topic, opening, document_key, closing)
        inner join decided using (event_key)
    )
select event_key from decided
"""
DOCUMENTS = """
insert into events.documents (document_key, body)
select document_key, body from unnest($1::uuid[], $2::bytea[]) as document (document_key, body)
on conflict do nothing
"""
PREPARED = """
insert into events.contexts (customer_id, event_date, release, model, threshold, choices)
select customer_id, event_date, release, model, threshold, cast(choices as jsonb)
from
    unnest(
        $1::bigint[], $2::date[], $3::int[], $4::text[], $5::float8[], $6::text[]
    ) as context (customer_id, event_date, release, model, threshold, choices)
on conflict (customer_id) do update
set
    event_date = excluded.event_date,
    release = excluded.release,
    model = excluded.model,
    threshold = excluded.threshold,
    choices = excluded.choices,
    prepared_at = clock_timestamp()
"""
DEAD = """
insert into events.dead_letter (event_key, kind, topic, payload, is_whole, reason)
values ($1, $2, $3, $4, $5, $6)
on conflict (event_key) do update
set
    attempts = dead_letter.attempts + 1,
    reason = excluded.reason,
    replay_requested_at = null,
    resolved_at = null
"""
RESOLVED = """
update events.dead_letter
set resolved_at = clock_timestamp(), replay_requested_at = null
where event_key = any($1) and resolved_at is null
"""
# What is longer than its reader reads can't be replayed: the beginning is kept, for people.
MAX_WHOLE_BYTES = {
    "entry": messages.MAX_BYTES,
    "focus": messages.MAX_BYTES,
    "loyalty": promotions.MAX_BYTES,
    "conversion": promotions.MAX_BYTES,
}
KEPT_BYTES = 64 * 1024


class Decision(NamedTuple):
    """A row of `events.decisions`."""

    event_key: UUID
    kind: str
    customer_id: int
    department: str | None
    event_at: datetime
    event_date: date
    outcome: str
    reason: str | None
    coupon_id: int | None
    prediction: float | None
    answer_id: UUID | None
    release: int | None
    model: str | None


class DeadLetter(NamedTuple):
    """What could not be read, and why."""

    event_key: UUID
    kind: str
    topic: str
    payload: bytes
    reason: str


async def write_decisions(
    connection: asyncpg.Connection,
    worker: str,
    decisions: Sequence[Decision],
    answers: Sequence[tuple[UUID, Answer]],
) -> set[UUID]:
    """Writes decisions and their answers; returns the keys of the events that were new."""
    # In one order for all workers, so that none waits for another in a circle.
    columns = list(zip(*sorted(decisions, key=lambda one: one.event_key), strict=True))
    queued = [
        (key, one.id, one.topic, one.opening, one.document and one.document.key, one.closing)
        for key, one in answers
    ]
    arrays = list(zip(*queued, strict=True)) or [()] * 6
    rows = await connection.fetch(WRITE, worker, *columns, *arrays)
    return {row[0] for row in rows}


async def write_documents(connection: asyncpg.Connection, documents: Sequence[Document]) -> None:
    """Keeps documents that answers refer to."""
    rows = sorted(set(documents))
    await connection.execute(DOCUMENTS, *zip(*rows, strict=True))


async def write_contexts(connection: asyncpg.Connection, contexts: Sequence[Context]) -> None:
    """Keeps what was prepared; of several for a customer the last."""
    last = {context.customer_id: context for context in contexts}
    rows = [
        (customer, context.event_date, *context.basis, context.threshold, context.choices)
        for customer, context in sorted(last.items())
    ]
    await connection.execute(PREPARED, *zip(*rows, strict=True))


async def write_dead_letters(connection: asyncpg.Connection, letters: Sequence[DeadLetter]) -> None:
    """Keeps what could not be read."""
    rows = []
    for letter in sorted(letters, key=lambda one: one.event_key):
        is_whole = len(letter.payload) <= MAX_WHOLE_BYTES[letter.kind]
        kept = letter.payload if is_whole else letter.payload[:KEPT_BYTES]
        rows.append((letter.event_key, letter.kind, letter.topic, kept, is_whole, letter.reason))
    await connection.executemany(DEAD, rows)


async def resolve(connection: asyncpg.Connection, keys: Sequence[UUID]) -> None:
    """Closes the dead letters of events that were read after all."""
    await connection.execute(RESOLVED, sorted(keys))
