"""The loyalty list and conversions: adds members and sends extra codes.

Belongs here: what a row leads to, in order of arrival. Does not belong here: what a row must have
to be read (`messages`), and how it is written (`repository`).

One worker does this at a time: whether a click earns a code depends on what came before it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from services.common.database import Database, DatabaseUnavailableError, SlowQueryError
from services.common.releases import Release
from services.events.broker.connection import Message, Receipt
from services.events.broker.publisher import Publisher
from services.events.database.connection import DatabaseWriter
from services.events.database.dead_letters import (
    UnreadableMessage,
    resolve,
    write_dead_letters,
)
from services.events.database.event_keys import answer_id, event_key, line_key
from services.events.database.outbox import EventAnswer
from services.events.loyalty import repository
from services.events.loyalty.messages import (
    MAX_BYTES,
    MAX_ROWS,
    Conversion,
    Listed,
    Refused,
    read_conversions,
    read_loyalty_rows,
)
from services.events.loyalty.repository import Effects
from services.events.metrics import EventMetrics
from services.events.payloads import UnreadableError
from services.events.settings import LoyaltyKind

GROUP = 100
PAUSE_SECONDS = 1.0

log = logging.getLogger("pollux.events")


@dataclass(slots=True, eq=False)
class PendingMessage:
    """A message under way: its rows, or why it cannot be read at all."""

    key: UUID
    kind: LoyaltyKind
    topic: str
    payload: bytes
    receipt: Receipt | None
    since: float
    rows: Sequence[Listed | Conversion | Refused] = ()
    unreadable: str | None = None
    is_replay: bool = False


class LoyaltyHandler:
    """Takes the loyalty list and conversions, one after the other."""

    def __init__(
        self,
        *,
        database: Database,
        release: Callable[[], Awaitable[Release | None]],
        writer: DatabaseWriter,
        publisher: Publisher,
        metrics: EventMetrics,
        worker: str,
        code_topic: str,
        line_topic: str,
    ) -> None:
        self._database = database
        self._release = release
        self._writer = writer
        self._publisher = publisher
        self._metrics = metrics
        self._worker = worker
        self._code_topic = code_topic
        self._line_topic = line_topic
        self._waiting: list[PendingMessage] = []
        self._under_way: list[PendingMessage] = []
        self._is_filled = asyncio.Event()

    def oldest_seconds(self) -> float:
        """How long the oldest event in hand has waited."""
        first = next(iter((*self._under_way, *self._waiting)), None)
        return 0.0 if first is None else time.monotonic() - first.since

    def handle(self, kind: LoyaltyKind, message: Message) -> None:
        """Takes a message; never raises, which would end the connection."""
        key = event_key(message.topic, message.payload, message.event_id)
        now = time.monotonic()
        self._begin(PendingMessage(key, kind, message.topic, message.payload, message.receipt, now))

    def replay(self, key: UUID, kind: LoyaltyKind, topic: str, payload: bytes) -> None:
        """Takes a dead letter again, under its own key."""
        if all(message.key != key for message in self._waiting):
            self._begin(
                PendingMessage(key, kind, topic, payload, None, time.monotonic(), is_replay=True)
            )

    def drop(self) -> None:
        """Forgets waiting messages: the broker sends them again, to the leader."""
        self._waiting.clear()

    async def run(self) -> None:
        """Commits messages in order of arrival; runs until cancelled."""
        while True:
            await self._is_filled.wait()
            group = self._under_way = self._next_group()
            if not self._waiting:
                self._is_filled.clear()
            await self._commit(group)
            self._under_way = []

    def _next_group(self) -> list[PendingMessage]:
        """As many waiting messages as one transaction handles in good time; at least one."""
        rows = size = count = 0
        for message in self._waiting[:GROUP]:
            rows += len(message.rows)
            size += len(message.payload)
            if count and (rows > MAX_ROWS or size > MAX_BYTES):
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    def _begin(self, message: PendingMessage) -> None:
        self._metrics.received[message.kind].inc()
        try:
            read = read_loyalty_rows if message.kind == "loyalty" else read_conversions
            message.rows = read(message.payload)
        except UnreadableError as error:
            message.unreadable = str(error)
        except Exception:
            log.error("An event broke its reader: %s", message.key)  # noqa: TRY400
            message.unreadable = "internal error while reading"
        self._waiting.append(message)
        self._is_filled.set()

    async def _commit(self, group: Sequence[PendingMessage]) -> None:
        interruptions = self._writer.interruptions
        rows = [row for message in group for row in message.rows]
        emails = sorted({row.email for row in rows if not isinstance(row, Refused)})
        released = await self._released_members(emails)
        try:
            new, effects = await self._writer.retry(
                lambda connection: self._write(connection, group, emails, released)
            )
        except asyncpg.PostgresError as error:
            # One message is refused; committed alone, it does not hold up the others.
            if len(group) == 1:
                self._refuse(group[0], error)
            for message in group:
                await self._commit([message])
            return
        if self._writer.interruptions != interruptions:
            self._publisher.claim_own()
        self._finish(group, new, effects)

    def _refuse(self, message: PendingMessage, error: asyncpg.PostgresError) -> None:
        if message.unreadable is not None:
            raise error
        log.error("The database refuses event %s: %s", message.key, type(error).__name__)
        message.unreadable = f"the database refuses it: {type(error).__name__}"
        message.rows = ()

    def _finish(self, group: Sequence[PendingMessage], new: set[UUID], effects: Effects) -> None:
        for _, answer in effects.answers:
            self._publisher.publish(answer)
        for one in effects.unreadable:
            self._metrics.dead[one.kind].inc()
            log.warning("Dead letter %s (%s): %s", one.event_key, one.kind, one.reason)
        for message in group:
            if message.key not in new and message.unreadable is None:
                self._metrics.repeated[message.kind].inc()
            if message.receipt is not None:
                message.receipt.acknowledge()

    async def _released_members(self, emails: Sequence[str]) -> set[str]:
        is_told = False
        while emails:
            release = await self._release()
            if release is None:
                break
            try:
                return await repository.read_released_members(self._database, release, emails)
            except (DatabaseUnavailableError, SlowQueryError, asyncpg.UndefinedTableError) as error:
                if not is_told:
                    log.warning("%s cannot be read: %s", release.name, type(error).__name__)
                is_told = True
                await asyncio.sleep(PAUSE_SECONDS)
        return set()

    async def _write(
        self,
        connection: asyncpg.Connection,
        group: Sequence[PendingMessage],
        emails: Sequence[str],
        released: set[str],
    ) -> tuple[set[UUID], Effects]:
        readable = [message for message in group if message.unreadable is None]
        effects = Effects()
        async with connection.transaction():
            events = [(message.key, message.kind) for message in readable]
            new = await repository.write_new_keys(connection, self._worker, events)
            kept_out = await repository.read_kept_out(connection, emails)
            joined = await repository.read_members(connection, emails)
            codes = await repository.read_codes(connection, emails)
            plan = _Plan(
                effects, released | joined, codes, kept_out, self._code_topic, self._line_topic
            )
            handled: set[UUID] = set()
            for message in group:
                if message.unreadable is not None:
                    plan.reject(message.key, message, message.payload, message.unreadable)
                elif message.key in new and message.key not in handled:
                    handled.add(message.key)
                    plan.add(message)
            await repository.write_effects(connection, self._worker, effects)
            if effects.unreadable:
                await write_dead_letters(connection, effects.unreadable, max_bytes=MAX_BYTES)
            replayed = [message.key for message in readable if message.is_replay]
            if replayed:
                await resolve(connection, replayed)
        return new, effects


class _Plan:
    """What rows lead to, one after the other, given who is a member or has a code already."""

    def __init__(
        self,
        effects: Effects,
        members: set[str],
        codes: set[tuple[str, ...]],
        kept_out: set[str],
        code_topic: str,
        line_topic: str,
    ) -> None:
        self._effects = effects
        self._members = members
        self._codes = codes
        self._kept_out = kept_out
        self._code_topic = code_topic
        self._line_topic = line_topic

    def add(self, message: PendingMessage) -> None:
        """Adds the rows of a message, without those of members who were erased."""
        for line, row in enumerate(message.rows, start=1):
            if isinstance(row, Refused):
                self.reject(line_key(message.key, line), message, row.raw, row.reason)
            elif row.email in self._kept_out:
                continue
            elif isinstance(row, Listed):
                self._effects.listed.append((message.key, line, *row))
                self._effects.joined_by_list.append(tuple(row))
                self._members.add(row.email)
            else:
                self._convert(message.key, line, row)

    def reject(self, key: UUID, message: PendingMessage, payload: bytes, reason: str) -> None:
        """Adds a message, or a row of it, that cannot be read."""
        one = UnreadableMessage(key, message.kind, message.topic, payload, reason)
        self._effects.unreadable.append(one)

    def _convert(self, event: UUID, line: int, row: Conversion) -> None:
        is_member = row.email in self._members
        place = (row.promotion, row.email)
        sends_code = row.conversion_type == "click" and is_member and place not in self._codes
        is_new = row.conversion_type == "purchase" and not is_member
        self._effects.converted.append((event, line, *row, sends_code, is_new))
        if is_new:
            self._members.add(row.email)
            self._effects.joined_by_purchase.append((row.email,))
        origin = line_key(event, line)
        if sends_code:
            code = answer_id(origin, "code")
            payload = orjson.dumps({"email": row.email, "send_promo_code": True})
            self._codes.add(place)
            self._effects.codes.append((*place, code))
            self._effects.answers.append((event, EventAnswer(code, self._code_topic, payload)))
        text = f"Send additional promo code to: {row.email}, {sends_code}\n"
        answer = EventAnswer(answer_id(origin, "line"), self._line_topic, text.encode())
        self._effects.answers.append((event, answer))
