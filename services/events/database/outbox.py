"""Answers on their way out: published, and marked when the broker has them.

Belongs here: what is under way, what was left behind, and how long it is kept. Does not belong
here: what an answer says.

Who commits an answer has it leased and publishes it at once. Whatever is not acknowledged when its
lease ends, because the broker or the worker went away, any worker publishes again, under the same
answer id.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services.events.broker.connection import ANSWER_ID, Connection, TooLongError
from services.events.database.connection import Ledger

LEASE_SECONDS = 10
MARK_SECONDS = 0.1
SWEEP_SECONDS = 1.0
AT_ONCE = 500
# A message may have hundreds of kilobytes, and stays in memory until it is acknowledged.
MAX_UNDER_WAY = 200
MAX_WAITING = 5_000

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
            limit {AT_ONCE}
            for update skip locked
        )
        returning number, answer_id, topic, opening, document_key, closing
    )
select answer_id, topic, opening, closing, document_key, body
from claimed
left join events.documents using (document_key)
order by number
"""
MARK = "update events.outbox set published_at = clock_timestamp() where answer_id = any($1)"
DOCUMENTS = """
insert into events.documents (document_key, body)
select document_key, body from unnest($1::uuid[], $2::bytea[]) as document (document_key, body)
on conflict do nothing
"""
DEPTH = "select count(*) from events.outbox where published_at is null"

log = logging.getLogger("pollux.events")


class Document(NamedTuple):
    """A part that many answers share, kept once; the key is its content's."""

    key: UUID
    body: bytes


class Answer(NamedTuple):
    """A message to publish; `id` stays the same however often it is sent."""

    id: UUID
    topic: str
    opening: bytes
    document: Document | None = None
    closing: bytes = b""

    @property
    def payload(self) -> bytes:
        """What is sent."""
        body = b"" if self.document is None else self.document.body
        return self.opening + body + self.closing


async def write_documents(connection: asyncpg.Connection, documents: Sequence[Document]) -> None:
    """Keeps documents that answers refer to."""
    rows = sorted(set(documents))
    await connection.execute(DOCUMENTS, *zip(*rows, strict=True))


class Outbox:
    """Publishes answers over the connection of the moment."""

    def __init__(self, ledger: Ledger, worker: str) -> None:
        self.depth = 0
        self._ledger = ledger
        self._worker = worker
        self._connection: Connection | None = None
        self._under_way: dict[int, UUID] = {}
        self._waiting: deque[Answer] = deque()
        self._acknowledged: list[UUID] = []
        self._takes_own = True

    def use(self, connection: Connection | None) -> None:
        """Takes a new connection; what the old one did not get acknowledged is sent again."""
        self._connection = connection
        self._under_way.clear()
        self._waiting.clear()
        self.take_own()

    def take_own(self) -> None:
        """Looks at the next sweep for everything of this worker that is not published."""
        self._takes_own = True

    def publish(self, answer: Answer) -> None:
        """Sends an answer that was committed, if that is possible now; else a sweep does."""
        if self._connection is None or len(self._waiting) >= MAX_WAITING:
            self.take_own()
        else:
            self._waiting.append(answer)
            self._send()

    def _send(self) -> None:
        connection = self._connection
        if connection is None:
            return
        most = min(MAX_UNDER_WAY, connection.receive_maximum)
        while self._waiting and len(self._under_way) < most and connection.is_open:
            answer = self._waiting.popleft()
            properties = {ANSWER_ID: str(answer.id)}
            try:
                mid = connection.publish(answer.topic, answer.payload, properties)
            except TooLongError as error:
                # It stays in the outbox, and is tried again when its lease has ended.
                log.error("Answer %s is too long: %s", answer.id, error)  # noqa: TRY400
                continue
            if mid is None:
                self.take_own()
            else:
                self._under_way[mid] = answer.id

    def acknowledged(self, mid: int, is_accepted: bool) -> None:
        """The broker has an answer, or refuses it."""
        answer_id = self._under_way.pop(mid, None)
        if answer_id is None:
            return
        if is_accepted:
            self._acknowledged.append(answer_id)
        else:
            log.error("The broker refused answer %s; it is sent again later", answer_id)
        self._send()

    async def mark(self) -> None:
        """Marks what the broker has; runs until cancelled."""
        while True:
            await asyncio.sleep(MARK_SECONDS)
            await self.mark_now()

    async def mark_now(self) -> None:
        """Marks what the broker has."""
        if not self._acknowledged:
            return
        marked, self._acknowledged = sorted(self._acknowledged), []
        try:
            await self._ledger.do(lambda connection: connection.execute(MARK, marked))
        except BaseException:
            self._acknowledged += marked
            raise

    async def sweep(self) -> None:
        """Publishes what was left behind; runs until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.depth = await self._ledger.do(lambda connection: connection.fetchval(DEPTH))
            if self.depth:
                await self._sweep_once()

    async def _sweep_once(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open or len(self._waiting) > AT_ONCE:
            return
        takes_own, self._takes_own = self._takes_own, False
        # What is under way, or acknowledged and not marked yet, needs no second sending.
        waiting = (answer.id for answer in self._waiting)
        known = [*self._under_way.values(), *waiting, *self._acknowledged]
        rows = await self._ledger.do(
            lambda connection: connection.fetch(CLAIM, self._worker, takes_own, known)
        )
        if len(rows) == AT_ONCE:
            self._takes_own = takes_own
        for answer_id, topic, opening, closing, key, body in rows:
            document = None if key is None else Document(key, body)
            self.publish(Answer(answer_id, topic, opening, document, closing))
        if rows:
            log.info("%d answers that were left behind are sent", len(rows))
