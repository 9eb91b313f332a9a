"""Entry and focus events: from a message to a committed decision and its answer.

Belongs here: the way of an event through the worker, in groups of one transaction. Does not
belong here: how a coupon is chosen (`contexts`) and how an answer travels (`outbox`).
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from services.events.broker.connection import Message, Receipt
from services.events.coupons import repository
from services.events.coupons.messages import MAX_BYTES, ShopEvent, read_entry, read_focus
from services.events.coupons.offers import Choice, Context, Contexts
from services.events.coupons.repository import Decision
from services.events.database.connection import Ledger
from services.events.database.dead_letters import (
    UnreadableMessage,
    resolve,
    write_dead_letters,
)
from services.events.database.event_keys import answer_id, event_key
from services.events.database.outbox import Answer, Document, Outbox, write_documents
from services.events.metrics import Counts
from services.events.payloads import UnreadableError

ShopKind = Literal["entry", "focus"]
GROUP = 200
FLUSH_SECONDS = 0.01
READERS = {"entry": read_entry, "focus": read_focus}

log = logging.getLogger("pollux.events")


@dataclass(slots=True, eq=False)
class Case:
    """An event under way; `receipts` are those of every time that it came meanwhile."""

    key: UUID
    kind: ShopKind
    topic: str
    payload: bytes
    receipts: list[Receipt]
    since: float
    event: ShopEvent | None = None
    settled: asyncio.Future[bool] | None = None
    decision: Decision | None = None
    answer: Answer | None = None
    context: Context | None = None
    unreadable: str | None = None
    is_replay: bool = False
    is_committed: bool = False
    # How many connections the flushes had had when its commit began.
    connections: int = 0


class Shop:
    """Decides entry and focus events; what it commits is acknowledged and published."""

    def __init__(
        self,
        *,
        contexts: Contexts,
        commits_to: Ledger,
        flushes: Ledger,
        outbox: Outbox,
        counts: Counts,
        worker: str,
        zone: ZoneInfo,
        answer_topic: str | None,
    ) -> None:
        self._contexts = contexts
        self._ledger = commits_to
        self._flushes = flushes
        self._outbox = outbox
        self._counts = counts
        self._worker = worker
        self._zone = zone
        # None where nothing is to be sent.
        self._answer_topic = answer_topic
        self._in_hand: dict[UUID, Case] = {}
        self._ready: list[Case] = []
        self._is_filled = asyncio.Event()
        self._kept_documents: set[UUID] = set()
        self._committed: list[Case] = []
        self._has_committed = asyncio.Event()
        self._finding: set[asyncio.Task[None]] = set()

    def oldest_seconds(self) -> float:
        """How long the oldest event in hand has waited."""
        first = next(iter(self._in_hand.values()), None)
        return 0.0 if first is None else time.monotonic() - first.since

    def take(self, kind: ShopKind, message: Message) -> None:
        """Takes a message; never raises, or the connection would end."""
        key = event_key(message.topic, message.payload, message.event_id)
        present = self._in_hand.get(key)
        if present is not None:
            present.receipts.append(message.receipt)
            self._counts.repeated[kind].inc()
            return
        receipts = [message.receipt]
        self._begin(Case(key, kind, message.topic, message.payload, receipts, time.monotonic()))

    def replay(self, key: UUID, kind: ShopKind, topic: str, payload: bytes) -> None:
        """Takes a dead letter again, under its own key."""
        if key not in self._in_hand:
            now = time.monotonic()
            self._begin(Case(key, kind, topic, payload, [], now, is_replay=True))

    async def handle(self, kind: ShopKind, topic: str, payload: bytes) -> tuple[Case, bool]:
        """Takes a message that came otherwise; returns it committed, and whether it was new."""
        key = event_key(topic, payload, None)
        case = self._in_hand.get(key)
        if case is None:
            case = Case(key, kind, topic, payload, [], time.monotonic())
            self._begin(case)
        if case.settled is None:
            case.settled = asyncio.get_running_loop().create_future()
        return case, await asyncio.shield(case.settled)

    async def run(self) -> None:
        """Commits what is decided, all that is there at a time; runs until cancelled."""
        while True:
            await self._is_filled.wait()
            group, self._ready = self._ready[:GROUP], self._ready[GROUP:]
            if not self._ready:
                self._is_filled.clear()
            await self._settle(group)

    async def confirm(self) -> None:
        """Acknowledges what is committed, once it is on disk; runs until cancelled.

        Answers go out before that: should the database lose them, the event is here still, is
        decided again, and answered under the same id.
        """
        await self._flushes.flush()
        while True:
            await self._has_committed.wait()
            # Nobody waits for an acknowledgement, and the fewer flushes the better.
            await asyncio.sleep(FLUSH_SECONDS)
            self._has_committed.clear()
            cases, self._committed = self._committed, []
            connections = await self._flushes.flush()
            for case in cases:
                # The connection of the flush stood before the commit, so the server did, too.
                if case.connections == connections:
                    del self._in_hand[case.key]
                    for receipt in case.receipts:
                        receipt.done()
                else:
                    self._put(case)

    def _begin(self, case: Case) -> None:
        self._in_hand[case.key] = case
        self._counts.received[case.kind].inc()
        try:
            event = case.event = READERS[case.kind](case.payload, self._zone)
            if not self._decide_from_memory(case, event):
                self._find_out(case, event)
        except UnreadableError as error:
            self._is_unreadable(case, str(error))
        except Exception:
            # Not the exception's text, which may quote the message.
            log.error("An event broke its reader: %s", case.key)  # noqa: TRY400
            self._is_unreadable(case, "internal error while reading")

    def _decide_from_memory(self, case: Case, event: ShopEvent) -> bool:
        if event.department is None:
            if not self._contexts.is_prepared(event):
                return False
            self._decide(case, event, None)
            return True
        choice = self._contexts.ready(event)
        if choice is None:
            return False
        self._decide(case, event, choice)
        return True

    def _find_out(self, case: Case, event: ShopEvent) -> None:
        task = asyncio.create_task(self._find_out_now(case, event))
        self._finding.add(task)
        task.add_done_callback(self._finding.discard)

    async def _find_out_now(self, case: Case, event: ShopEvent) -> None:
        try:
            if event.department is not None:
                self._decide(case, event, await self._contexts.choose(event))
                return
            found = await self._contexts.prepare(event)
            case.context = found if isinstance(found, Context) else None
            self._decide(case, event, found if isinstance(found, Choice) else None)
        except Exception as error:
            log.error("Event %s broke its decision: %s", case.key, type(error).__name__)  # noqa: TRY400
            self._is_unreadable(case, f"internal error while deciding: {type(error).__name__}")

    def _decide(self, case: Case, event: ShopEvent, choice: Choice | None) -> None:
        """Records the outcome: `choice` of a focus event, or why an entry prepared nothing."""
        basis = self._contexts.basis
        department = self._contexts.spelled(event.department) if event.department else None
        outcome = "prepared" if choice is None else "no offer"
        if choice is None:
            choice = Choice()
        answer = name = None
        if choice.coupon_id is not None:
            document = self._contexts.document(choice.coupon_id)
            if document is None:
                # A release came between: its choice counts.
                self._find_out(case, event)
                return
            outcome = "offer"
            name = answer_id(case.key, "prediction")
            if self._answer_topic is not None:
                answer = Answer(name, self._answer_topic, *prediction_message(event, document))
        case.answer = answer
        case.decision = Decision(
            event_key=case.key,
            kind=case.kind,
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
        self._put(case)

    def _is_unreadable(self, case: Case, reason: str) -> None:
        case.unreadable = reason
        case.decision = case.answer = case.context = None
        self._put(case)

    def _put(self, case: Case) -> None:
        self._ready.append(case)
        self._is_filled.set()

    async def _settle(self, group: Sequence[Case]) -> None:
        interruptions = self._ledger.interruptions
        for case in group:
            case.connections = self._flushes.connections
        try:
            new = await self._ledger.do(lambda connection: self._write(connection, group))
        except asyncpg.ForeignKeyViolationError:
            # A document was forgotten with the answers that it was kept for.
            self._kept_documents.clear()
            await self._settle(group)
            return
        except asyncpg.PostgresError as error:
            # One of them is refused; alone it does not hold up the others.
            if len(group) == 1:
                self._refuse(group[0], error)
            for case in group:
                await self._settle([case])
            return
        if self._ledger.interruptions != interruptions:
            # A commit whose answer was lost looks as if the events had been here before.
            self._outbox.take_own()
        self._kept_documents |= {document.key for document in _documents(group)}
        for case in group:
            self._finish(case, is_new=case.key in new)

    async def _write(self, connection: asyncpg.Connection, group: Sequence[Case]) -> set[UUID]:
        decisions = [case.decision for case in group if case.decision is not None]
        answers = [(case.key, case.answer) for case in group if case.answer is not None]
        contexts = [case.context for case in group if case.context is not None]
        letters = [
            UnreadableMessage(case.key, case.kind, case.topic, case.payload, case.unreadable)
            for case in group
            if case.unreadable is not None
        ]
        replayed = [case.key for case in group if case.is_replay and case.decision is not None]
        documents = [one for one in _documents(group) if one.key not in self._kept_documents]
        if not (contexts or letters or replayed or documents):
            # One statement is a transaction of its own.
            return await repository.write_decisions(connection, self._worker, decisions, answers)
        new: set[UUID] = set()
        async with connection.transaction():
            if documents:
                await write_documents(connection, documents)
            if decisions:
                new = await repository.write_decisions(connection, self._worker, decisions, answers)
            if contexts:
                await repository.write_contexts(connection, contexts)
            if letters:
                await write_dead_letters(connection, letters, max_bytes=MAX_BYTES)
            if replayed:
                await resolve(connection, replayed)
        return new

    def _refuse(self, case: Case, error: asyncpg.PostgresError) -> None:
        if case.unreadable is not None:
            raise error
        log.error("The database refuses event %s: %s", case.key, type(error).__name__)
        case.unreadable = f"the database refuses it: {type(error).__name__}"
        case.decision = case.answer = case.context = None

    def _finish(self, case: Case, *, is_new: bool) -> None:
        if is_new and case.answer is not None:
            self._outbox.publish(case.answer)
        self._committed.append(case)
        self._has_committed.set()
        if case.is_committed:
            return
        case.is_committed = True
        self._count(case, is_new=is_new)
        if case.settled is not None:
            case.settled.set_result(is_new)

    def _count(self, case: Case, *, is_new: bool) -> None:
        if case.unreadable is not None:
            self._counts.dead[case.kind].inc()
            log.warning("Dead letter %s (%s): %s", case.key, case.kind, case.unreadable)
        elif is_new and case.decision is not None:
            self._counts.decided[case.decision.outcome].inc()
            if case.answer is not None:
                self._counts.answer_seconds.observe(time.monotonic() - case.since)
        else:
            self._counts.repeated[case.kind].inc()


def _documents(group: Sequence[Case]) -> list[Document]:
    answers = [case.answer for case in group if case.answer is not None]
    return [answer.document for answer in answers if answer.document is not None]


def prediction_message(event: ShopEvent, coupon: Document) -> tuple[bytes, Document, bytes]:
    """The message that offers a coupon, in three parts; its time is the event's."""
    opening = b'{"customer":{"id":"%d"},"coupon":' % event.customer_id
    return opening, coupon, b',"ts":%d}' % event.ts
