"""Entry and focus events: from a message to a committed decision and its answer.

Belongs here: an event's path through the worker, in groups of one transaction. Does not belong
here: how a coupon is chosen (`offers`) and how an answer is sent (`broker.publisher`).
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from services.events.broker.connection import Message, Receipt
from services.events.broker.publisher import Publisher
from services.events.coupons import repository
from services.events.coupons.messages import MAX_BYTES, StoreEvent, read_entry, read_focus
from services.events.coupons.offers import Choice, Offers, PreparedOffers
from services.events.coupons.repository import Decision, Outcome
from services.events.database.connection import DatabaseWriter
from services.events.database.dead_letters import (
    UnreadableMessage,
    resolve,
    write_dead_letters,
)
from services.events.database.event_keys import answer_id, event_key
from services.events.database.outbox import EventAnswer, SharedDocument, write_documents
from services.events.metrics import EventMetrics
from services.events.payloads import UnreadableError
from services.events.settings import CouponKind

GROUP = 200
FLUSH_SECONDS = 0.01
READERS = {"entry": read_entry, "focus": read_focus}

log = logging.getLogger("pollux.events")


@dataclass(slots=True, eq=False)
class PendingEvent:
    """An event under way; `receipts` are those of every message that brought it."""

    key: UUID
    kind: CouponKind
    topic: str
    payload: bytes
    receipts: list[Receipt]
    since: float
    event: StoreEvent | None = None
    is_new: asyncio.Future[bool] | None = None
    decision: Decision | None = None
    answer: EventAnswer | None = None
    prepared: PreparedOffers | None = None
    unreadable: str | None = None
    is_replay: bool = False
    is_committed: bool = False
    # The number of flushing connections so far when its commit began.
    connections: int = 0

    def reject(self, reason: str) -> None:
        """Makes it a dead letter, whatever was decided."""
        self.unreadable = reason
        self.decision = self.answer = self.prepared = None


class CouponHandler:
    """Decides entry and focus events; what it commits is acknowledged and published."""

    def __init__(
        self,
        *,
        offers: Offers,
        commits_to: DatabaseWriter,
        flushes: DatabaseWriter,
        publisher: Publisher,
        metrics: EventMetrics,
        worker: str,
        zone: ZoneInfo,
        answer_topic: str | None,
    ) -> None:
        self._offers = offers
        self._writer = commits_to
        self._flushes = flushes
        self._publisher = publisher
        self._metrics = metrics
        self._worker = worker
        self._zone = zone
        # None if nothing is to be sent.
        self._answer_topic = answer_topic
        self._in_hand: dict[UUID, PendingEvent] = {}
        self._ready: list[PendingEvent] = []
        self._is_filled = asyncio.Event()
        self._kept_documents: set[UUID] = set()
        self._committed: list[PendingEvent] = []
        self._has_committed = asyncio.Event()
        self._deciding: set[asyncio.Task[None]] = set()

    def oldest_seconds(self) -> float:
        """How long the oldest event in hand has waited."""
        first = next(iter(self._in_hand.values()), None)
        return 0.0 if first is None else time.monotonic() - first.since

    def handle(self, kind: CouponKind, message: Message) -> None:
        """Takes a message; never raises, which would end the connection."""
        key = event_key(message.topic, message.payload, message.event_id)
        present = self._in_hand.get(key)
        if present is not None:
            present.receipts.append(message.receipt)
            self._metrics.repeated[kind].inc()
            return
        receipts = [message.receipt]
        self._begin(
            PendingEvent(key, kind, message.topic, message.payload, receipts, time.monotonic())
        )

    def replay(self, key: UUID, kind: CouponKind, topic: str, payload: bytes) -> None:
        """Takes a dead letter again, under its own key."""
        if key not in self._in_hand:
            now = time.monotonic()
            self._begin(PendingEvent(key, kind, topic, payload, [], now, is_replay=True))

    async def handle_and_wait(
        self, kind: CouponKind, topic: str, payload: bytes
    ) -> tuple[PendingEvent, bool]:
        """Takes a message that came over HTTP; returns it committed, and whether it was new."""
        key = event_key(topic, payload, None)
        pending = self._in_hand.get(key)
        if pending is None:
            pending = PendingEvent(key, kind, topic, payload, [], time.monotonic())
            self._begin(pending)
        if pending.is_new is None:
            pending.is_new = asyncio.get_running_loop().create_future()
        return pending, await asyncio.shield(pending.is_new)

    async def run(self) -> None:
        """Commits decided events, in groups; runs until cancelled."""
        while True:
            await self._is_filled.wait()
            group, self._ready = self._ready[:GROUP], self._ready[GROUP:]
            if not self._ready:
                self._is_filled.clear()
            await self._commit(group)

    async def confirm(self) -> None:
        """Acknowledges committed events once they are on disk; runs until cancelled.

        Answers are sent before that. If the database loses them, the event is still in hand: it is
        decided again, and answered under the same id.
        """
        await self._flushes.flush()
        while True:
            await self._has_committed.wait()
            # Nobody waits for an acknowledgement, and the fewer flushes the better.
            await asyncio.sleep(FLUSH_SECONDS)
            self._has_committed.clear()
            committed, self._committed = self._committed, []
            connections = await self._flushes.flush()
            for pending in committed:
                # The flushing connection is older than the commit: the server did not restart.
                if pending.connections == connections:
                    del self._in_hand[pending.key]
                    for receipt in pending.receipts:
                        receipt.acknowledge()
                else:
                    self._put(pending)

    def _begin(self, pending: PendingEvent) -> None:
        self._in_hand[pending.key] = pending
        self._metrics.received[pending.kind].inc()
        try:
            event = pending.event = READERS[pending.kind](pending.payload, self._zone)
            choice = self._offers.ready(event)
            if choice is not None or (event.department is None and self._offers.is_prepared(event)):
                self._decide(pending, event, choice)
            else:
                self._decide_later(pending, event)
        except UnreadableError as error:
            self._reject(pending, str(error))
        except Exception:
            # Not the exception's text, which may quote the message.
            log.error("An event broke its reader: %s", pending.key)  # noqa: TRY400
            self._reject(pending, "internal error while reading")

    def _decide_later(self, pending: PendingEvent, event: StoreEvent) -> None:
        task = asyncio.create_task(self._look_up_and_decide(pending, event))
        self._deciding.add(task)
        task.add_done_callback(self._deciding.discard)

    async def _look_up_and_decide(self, pending: PendingEvent, event: StoreEvent) -> None:
        try:
            if event.department is not None:
                self._decide(pending, event, await self._offers.choose(event))
                return
            found = await self._offers.prepare(event)
            pending.prepared = found if isinstance(found, PreparedOffers) else None
            self._decide(pending, event, found if isinstance(found, Choice) else None)
        except Exception as error:
            log.error("Event %s broke its decision: %s", pending.key, type(error).__name__)  # noqa: TRY400
            self._reject(pending, f"internal error while deciding: {type(error).__name__}")

    def _decide(self, pending: PendingEvent, event: StoreEvent, choice: Choice | None) -> None:
        """Records the outcome: `choice` of a focus event, or why an entry prepared nothing."""
        basis = self._offers.basis
        department = self._offers.spelled(event.department) if event.department else None
        outcome: Outcome = "prepared" if choice is None else "no offer"
        if choice is None:
            choice = Choice()
        answer = name = None
        if choice.coupon_id is not None:
            document = self._offers.document(choice.coupon_id)
            if document is None:
                # A new release came meanwhile: its choice counts.
                self._decide_later(pending, event)
                return
            outcome = "offer"
            name = answer_id(pending.key, "prediction")
            if self._answer_topic is not None:
                answer = EventAnswer(name, self._answer_topic, *prediction_message(event, document))
        pending.answer = answer
        pending.decision = Decision(
            event_key=pending.key,
            kind=pending.kind,
            customer_id=event.customer_id,
            department=department,
            event_at=event.event_at,
            event_date=event.event_date,
            outcome=outcome,
            reason=choice.reason,
            coupon_id=choice.coupon_id,
            prediction=choice.prediction,
            answer_id=name,
            release=basis.release,
            model=basis.model,
        )
        self._put(pending)

    def _reject(self, pending: PendingEvent, reason: str) -> None:
        pending.reject(reason)
        self._put(pending)

    def _put(self, pending: PendingEvent) -> None:
        self._ready.append(pending)
        self._is_filled.set()

    async def _commit(self, group: Sequence[PendingEvent]) -> None:
        interruptions = self._writer.interruptions
        for pending in group:
            pending.connections = self._flushes.connections
        try:
            new = await self._writer.retry(lambda connection: self._write(connection, group))
        except asyncpg.ForeignKeyViolationError:
            # A document was deleted together with the answers that shared it.
            self._kept_documents.clear()
            await self._commit(group)
            return
        except asyncpg.PostgresError as error:
            # One event is refused; committed alone, it does not hold up the others.
            if len(group) == 1:
                self._refuse(group[0], error)
            for pending in group:
                await self._commit([pending])
            return
        if self._writer.interruptions != interruptions:
            # If a commit's reply was lost, its events look as if they were repeated.
            self._publisher.claim_own()
        self._kept_documents |= {document.key for document in _documents(group)}
        for pending in group:
            self._finish(pending, is_new=pending.key in new)

    async def _write(
        self, connection: asyncpg.Connection, group: Sequence[PendingEvent]
    ) -> set[UUID]:
        decisions = [one.decision for one in group if one.decision is not None]
        answers = [(one.key, one.answer) for one in group if one.answer is not None]
        prepared = [one.prepared for one in group if one.prepared is not None]
        unreadable = [
            UnreadableMessage(
                pending.key, pending.kind, pending.topic, pending.payload, pending.unreadable
            )
            for pending in group
            if pending.unreadable is not None
        ]
        replayed = [
            pending.key for pending in group if pending.is_replay and pending.decision is not None
        ]
        documents = [one for one in _documents(group) if one.key not in self._kept_documents]
        if not (prepared or unreadable or replayed or documents):
            # One statement is a transaction of its own.
            return await repository.write_decisions(connection, self._worker, decisions, answers)
        new: set[UUID] = set()
        async with connection.transaction():
            if documents:
                await write_documents(connection, documents)
            if decisions:
                new = await repository.write_decisions(connection, self._worker, decisions, answers)
            if prepared:
                await repository.write_prepared_offers(connection, prepared)
            if unreadable:
                await write_dead_letters(connection, unreadable, max_bytes=MAX_BYTES)
            if replayed:
                await resolve(connection, replayed)
        return new

    def _refuse(self, pending: PendingEvent, error: asyncpg.PostgresError) -> None:
        if pending.unreadable is not None:
            raise error
        log.error("The database refuses event %s: %s", pending.key, type(error).__name__)
        pending.reject(f"the database refuses it: {type(error).__name__}")

    def _finish(self, pending: PendingEvent, *, is_new: bool) -> None:
        if is_new and pending.answer is not None:
            self._publisher.publish(pending.answer)
        self._committed.append(pending)
        self._has_committed.set()
        if pending.is_committed:
            return
        pending.is_committed = True
        self._count(pending, is_new=is_new)
        if pending.is_new is not None:
            pending.is_new.set_result(is_new)

    def _count(self, pending: PendingEvent, *, is_new: bool) -> None:
        if pending.unreadable is not None:
            self._metrics.dead[pending.kind].inc()
            log.warning("Dead letter %s (%s): %s", pending.key, pending.kind, pending.unreadable)
        elif is_new and pending.decision is not None:
            self._metrics.decided[pending.decision.outcome].inc()
            if pending.answer is not None:
                self._metrics.answer_seconds.observe(time.monotonic() - pending.since)
        else:
            self._metrics.repeated[pending.kind].inc()


def _documents(group: Sequence[PendingEvent]) -> list[SharedDocument]:
    answers = [pending.answer for pending in group if pending.answer is not None]
    return [answer.document for answer in answers if answer.document is not None]


def prediction_message(
    event: StoreEvent, coupon: SharedDocument
) -> tuple[bytes, SharedDocument, bytes]:
    """The message that offers a coupon, in three parts; its time is the event's."""
    opening = b'{"customer":{"id":"%d"},"coupon":' % event.customer_id
    return opening, coupon, b',"ts":%d}' % event.ts
