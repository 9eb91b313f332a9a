"""Answers that wait to be published: `events.outbox`, and the documents that they share.

Belongs here: the statements. Does not belong here: sending (`broker.publisher`), and what an answer
says.

The worker that commits an answer has a lease on it and publishes it at once. If the answer is not
published when the lease ends, because the broker or the worker went away, any worker claims it and
publishes it under the same answer id. What another process leaves here has no lease.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

LEASE_SECONDS = 10
CLAIMED_AT_ONCE = 500

# Followed by a query whose first parameter is the worker.
INSERT = """
insert into events.outbox (
    event_key, answer_id, topic, opening, document_key, closing, event_id, correlation_data,
    worker, leased_until
)
"""
# The columns of `answer_columns`.
COLUMNS = "event_key, answer_id, topic, opening, document_key, closing, event_id, correlation_data"
LEASE = f"$1, clock_timestamp() + interval '{LEASE_SECONDS} s'"
ANSWERS = f"""
    unnest(
        $2::uuid[], $3::uuid[], $4::text[], $5::bytea[], $6::uuid[], $7::bytea[], $8::text[],
        $9::bytea[]
    ) as answer ({COLUMNS})
"""
INSERT_ANSWERS = f"{INSERT} select answer.*, {LEASE} from {ANSWERS}"
LEAVE_ANSWERS = f"{INSERT} select answer.*, $1, clock_timestamp() from {ANSWERS}"
NOBODY = "nobody"
CLAIM = f"""
with
    claimed as (
        update events.outbox
        set worker = $1, leased_until = clock_timestamp() + interval '{LEASE_SECONDS} s'
        where number in (
            select number
            from events.outbox
            where
                published_at is null
                and (leased_until < clock_timestamp() or (worker = $1 and $2))
                and answer_id <> all ($3)
            order by number
            limit {CLAIMED_AT_ONCE}
            for update skip locked
        )
        returning
            number, answer_id, topic, opening, document_key, closing, event_id, correlation_data
    )
select answer_id, topic, opening, closing, document_key, body, event_id, correlation_data
from claimed
left join events.documents using (document_key)
order by number
"""
MARK_PUBLISHED = """
update events.outbox set published_at = clock_timestamp() where answer_id = any($1)
"""
INSERT_DOCUMENTS = """
insert into events.documents (document_key, body)
select document_key, body from unnest($1::uuid[], $2::bytea[]) as document (document_key, body)
on conflict do nothing
"""
COUNT_UNPUBLISHED = "select count(*) from events.outbox where published_at is null"


class SharedDocument(NamedTuple):
    """A part that many answers share, kept once; its key is made from its content."""

    key: UUID
    body: bytes


class EventAnswer(NamedTuple):
    """A message to publish; `id` stays the same however often it is sent.

    `event_id` and `correlation_data` are the request's, sent back with it.
    """

    id: UUID
    topic: str
    opening: bytes
    document: SharedDocument | None = None
    closing: bytes = b""
    event_id: str | None = None
    correlation_data: bytes | None = None

    @property
    def payload(self) -> bytes:
        """What is sent."""
        body = b"" if self.document is None else self.document.body
        return self.opening + body + self.closing


def answer_columns(answers: Sequence[tuple[UUID, EventAnswer]]) -> list[tuple[object, ...]]:
    """The columns of answers, each with its event's key, as arrays for `unnest`."""
    rows = [
        (
            key,
            one.id,
            one.topic,
            one.opening,
            one.document and one.document.key,
            one.closing,
            one.event_id,
            one.correlation_data,
        )
        for key, one in answers
    ]
    return list(zip(*rows, strict=True)) or [()] * len(COLUMNS.split(","))


async def write_answers(
    connection: asyncpg.Connection, worker: str, answers: Sequence[tuple[UUID, EventAnswer]]
) -> None:
    """Stores answers to publish, in order, leased to a worker."""
    await connection.execute(INSERT_ANSWERS, worker, *answer_columns(answers))


async def leave_answers(
    connection: asyncpg.Connection, answers: Sequence[tuple[UUID, EventAnswer]]
) -> None:
    """Stores answers, in order, for any worker to publish within a second."""
    if answers:
        await connection.execute(LEAVE_ANSWERS, NOBODY, *answer_columns(answers))


async def write_documents(
    connection: asyncpg.Connection, documents: Sequence[SharedDocument]
) -> None:
    """Stores documents that answers refer to."""
    rows = sorted(set(documents))
    await connection.execute(INSERT_DOCUMENTS, *zip(*rows, strict=True))


async def claim_answers(
    connection: asyncpg.Connection, worker: str, known: Collection[UUID], *, claims_own: bool
) -> list[EventAnswer]:
    """Claims answers whose lease has ended and, if `claims_own`, all of the worker's own.

    Returns them in order, at most `CLAIMED_AT_ONCE`, without those `known` to be under way.
    """
    rows = await connection.fetch(CLAIM, worker, claims_own, known)
    return [
        EventAnswer(
            answer_id,
            topic,
            opening,
            None if key is None else SharedDocument(key, body),
            closing,
            event_id,
            correlation_data,
        )
        for answer_id, topic, opening, closing, key, body, event_id, correlation_data in rows
    ]


async def mark_published(connection: asyncpg.Connection, answers: Collection[UUID]) -> None:
    """Records that the broker has these answers."""
    await connection.execute(MARK_PUBLISHED, sorted(answers))


async def count_unpublished(connection: asyncpg.Connection) -> int:
    """How many answers the broker does not have yet."""
    count: int = await connection.fetchval(COUNT_UNPUBLISHED)
    return count
