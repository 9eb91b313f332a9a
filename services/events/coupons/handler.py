"""Entry and focus events: from a message to a committed decision and its answer.

Belongs here: an event's path through the worker, in groups of one transaction. Does not belong
here: how a coupon is chosen (`offers`) and how an answer is sent (`broker.publisher`).
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from services.events.broker.connection import Message, Receipt
from services.events.broker.publisher import Publisher
from services.events.coupons import repository
from services.events.coupons.answers import NOTHING_ASKED, Answers, Asked
from services.events.coupons.catalogue import CouponDocument
from services.events.coupons.cooldown import find_held_back, lock_customers, without_offer
from services.events.coupons.messages import (
    MAX_BYTES,
    StoreEvent,
    focus_message,
    read_entry,
    read_focus,
)
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
# Between the beginnings of groups: a statement for one event costs as much as one for several.
APART_SECONDS = 0.002
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
    # What the message says about its answer; None if it is not answered over MQTT.
    asked: Asked | None = NOTHING_ASKED
    is_replay: bool = False
    is_committed: bool = False
    # The number of flushing connections so far when its commit began.
    connections: int = 0

    def reject(self, reason: str) -> None:
        """Makes it a dead letter, whatever was decided."""
        self.unreadable = reason
        self.decision = self.answer = self.prepared = None


class _Written(NamedTuple):
    """The keys of a group's events that were new, and of those whose offers were held back."""

    new: set[UUID]
    held: set[UUID]


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
        answers: Answers,
        # How long a coupon is not offered again to the same customer; 0 is no limit.
        cooldown: timedelta,
    ) -> None:
        self._offers = offers
        self._writer = commits_to
        self._flushes = flushes
        self._publisher = publisher
        self._metrics = metrics
        self._worker = worker
        self._zone = zone
        self.answers = answers
        self._cooldown = cooldown
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
        pending = PendingEvent(
            key, kind, message.topic, message.payload, [message.receipt], time.monotonic()
        )
        pending.asked = self.answers.asked(message)
        self._begin(pending)

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
        return pending, await self._committed_as_new(pending)

    async def decide_and_wait(
        self, key: UUID, event: StoreEvent, choice: Choice, topic: str
    ) -> tuple[PendingEvent, bool]:
        """Records a choice that was asked for over HTTP, as one of a focus event on that topic.

        Returns it committed, and whether it was new; what it answers is not sent over MQTT.
        """
        pending = self._in_hand.get(key)
        if pending is None:
            pending = PendingEvent(key, "focus", topic, focus_message(event), [], time.monotonic())
            pending.event, pending.asked = event, None
            self._in_hand[key] = pending
            self._decide(pending, event, choice)
        return pending, await self._committed_as_new(pending)

    def decision(
        self, key: UUID, kind: CouponKind, event: StoreEvent, choice: Choice | None
    ) -> Decision:
        """What is recorded of a choice, but for the cool-down; None is that of an entry."""
        basis = self._offers.basis
        outcome: Outcome = "prepared" if choice is None else "no offer"
        if choice is None:
            choice = Choice()
        if choice.coupon_id is not None:
            outcome = "offer"
        is_answered = kind == "focus" and self.answers.is_due(outcome)
        return Decision(
            event_key=key,
            kind=kind,
            customer_id=event.customer_id,
            department=self._offers.spelled(event.department) if event.department else None,
            event_at=event.event_at,
            event_date=event.event_date,
            outcome=outcome,
            reason=choice.reason,
            coupon_id=choice.coupon_id,
            prediction=choice.prediction,
            answer_id=answer_id(key, "prediction") if is_answered else None,
            release=basis.release,
            model=basis.model,
            threshold=self._offers.threshold,
        )

    async def run(self) -> None:
        """Commits decided events, in groups; runs until cancelled."""
        loop = asyncio.get_running_loop()
        began = 0.0
        while True:
            await self._is_filled.wait()
            if (early := began + APART_SECONDS - loop.time()) > 0:
                await asyncio.sleep(early)
            began = loop.time()
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

    async def _committed_as_new(self, pending: PendingEvent) -> bool:
        if pending.is_new is None:
            if pending.is_committed:
                return False
            pending.is_new = asyncio.get_running_loop().create_future()
        return await asyncio.shield(pending.is_new)

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
        coupon = None
        if choice is not None and choice.coupon_id is not None:
            coupon = self._offers.document(choice.coupon_id)
            if coupon is None:
                # A new release came meanwhile: its choice counts.
                self._decide_later(pending, event)
                return
        pending.decision = self.decision(pending.key, pending.kind, event, choice)
        pending.answer = self._answer(pending, pending.decision, coupon)
        self._put(pending)

    def _answer(
        self, pending: PendingEvent, decision: Decision, coupon: CouponDocument | None
    ) -> EventAnswer | None:
        if pending.asked is None or pending.event is None:
            return None
        return self.answers.answer(pending.event, decision, coupon, pending.asked)

    def _held(self, pending: PendingEvent) -> tuple[Decision, EventAnswer | None]:
        """The decision and answer of an offer that comes too soon."""
        assert pending.decision is not None  # noqa: S101 - only offers are held back
        decision = without_offer(pending.decision, self._cooldown)
        if not self.answers.is_due(decision.outcome):
            decision = decision._replace(answer_id=None)
        return decision, self._answer(pending, decision, None)

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
            written = await self._writer.retry(lambda connection: self._write(connection, group))
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
            if pending.key in written.held:
                pending.decision, pending.answer = self._held(pending)
            self._finish(pending, is_new=pending.key in written.new)

    async def _write(
        self, connection: asyncpg.Connection, group: Sequence[PendingEvent]
    ) -> _Written:
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
        if not (prepared or unreadable or replayed or documents or self._cooldown):
            # One statement is a transaction of its own.
            return _Written(await self._write_decisions(connection, group, set()), set())
        async with connection.transaction():
            held = await self._find_held(connection, group)
            if documents:
                await write_documents(connection, documents)
            new = await self._write_decisions(connection, group, held)
            if prepared:
                await repository.write_prepared_offers(connection, prepared)
            if unreadable:
                await write_dead_letters(connection, unreadable, max_bytes=MAX_BYTES)
            if replayed:
                await resolve(connection, replayed)
        return _Written(new, held)

    async def _write_decisions(
        self, connection: asyncpg.Connection, group: Sequence[PendingEvent], held: set[UUID]
    ) -> set[UUID]:
        rows = [
            self._held(one) if one.key in held else (one.decision, one.answer)
            for one in group
            if one.decision is not None
        ]
        decisions = [decision for decision, _ in rows]
        if not decisions:
            return set()
        answers = [(one.event_key, answer) for one, answer in rows if answer is not None]
        return await repository.write_decisions(connection, self._worker, decisions, answers)

    async def _find_held(
        self, connection: asyncpg.Connection, group: Sequence[PendingEvent]
    ) -> set[UUID]:
        """The keys of the events whose offers come too soon after another."""
        # What was sent before the database lost it stands, and comes first.
        decided = sorted(group, key=lambda one: not one.is_committed)
        decisions = [one.decision for one in decided if one.decision is not None]
        offers = [one for one in decisions if one.outcome == "offer"]
        if not self._cooldown or not offers:
            return set()
        await lock_customers(connection, offers)
        held = await find_held_back(connection, offers, self._cooldown)
        return held - {one.key for one in group if one.is_committed}

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
