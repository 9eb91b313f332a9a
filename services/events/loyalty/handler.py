"""The loyalty list and conversions: adds members and sends extra codes.

Belongs here: what a row leads to, in order of arrival. Does not belong here: what a row must have
to be read (`messages`), and how it is written (`repository`).

One worker does this at a time: whether a click earns a code depends on what came before it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
import orjson

from services.common.database import Database, DatabaseUnavailableError, SlowQueryError
from services.common.releases import Release
from services.events.broker.publisher import Publisher
from services.events.database.connection import DatabaseWriter
from services.events.database.dead_letters import UnreadableMessage
from services.events.database.event_keys import answer_id, line_key
from services.events.database.outbox import EventAnswer
from services.events.loyalty import repository
from services.events.loyalty.messages import (
    Conversion,
    Listed,
    Refused,
    read_conversions,
    read_loyalty_rows,
)
from services.events.loyalty.repository import HANDLED, Effects
from services.events.metrics import EventMetrics
from services.events.ordered import (
    OrderedHandler,
    PendingMessage,
    Written,
    write_dead_and_resolved,
    write_new_keys,
)
from services.events.settings import OrderedKind

PAUSE_SECONDS = 1.0

Row = Listed | Conversion | Refused

log = logging.getLogger("pollux.events")


class LoyaltyHandler(OrderedHandler[Row]):
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
        super().__init__(writer=writer, metrics=metrics, worker=worker)
        self._database = database
        self._release = release
        self._publisher = publisher
        self._code_topic = code_topic
        self._line_topic = line_topic
        # Of the group that is being committed.
        self._released: set[str] = set()

    def _read(self, kind: OrderedKind, payload: bytes) -> tuple[Sequence[Row], None]:
        read = read_loyalty_rows if kind == "loyalty" else read_conversions
        return read(payload), None

    def _publish(self, answers: Sequence[EventAnswer], *, is_certain: bool) -> None:
        if not is_certain:
            self._publisher.claim_own()
        for answer in answers:
            self._publisher.publish(answer)

    async def _commit(self, group: Sequence[PendingMessage[Row]]) -> None:
        # Not in `_write`, whose errors are those of messages.
        self._released = await self._released_members(_emails_of(group))
        await super()._commit(group)

    async def _write(
        self, connection: asyncpg.Connection, group: Sequence[PendingMessage[Row]]
    ) -> Written:
        emails = _emails_of(group)
        readable = [message for message in group if message.unreadable is None]
        effects = Effects()
        async with connection.transaction():
            new = await write_new_keys(connection, self._worker, readable, HANDLED)
            kept_out = await repository.read_kept_out(connection, emails)
            members = self._released | await repository.read_members(connection, emails)
            codes = await repository.read_codes(connection, emails)
            plan = _Plan(effects, members, codes, kept_out, self._code_topic, self._line_topic)
            handled: set[UUID] = set()
            for message in group:
                if message.unreadable is not None:
                    plan.reject(message.key, message, message.payload, message.unreadable)
                elif message.key in new and message.key not in handled:
                    handled.add(message.key)
                    plan.add(message)
            await repository.write_effects(connection, self._worker, effects)
            await write_dead_and_resolved(connection, group, effects.unreadable)
        return Written(new, effects.unreadable, [answer for _, answer in effects.answers])

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


def _emails_of(group: Sequence[PendingMessage[Row]]) -> list[str]:
    rows = [row for message in group for row in message.rows]
    return sorted({row.email for row in rows if not isinstance(row, Refused)})


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

    def add(self, message: PendingMessage[Row]) -> None:
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

    def reject(self, key: UUID, message: PendingMessage[Row], payload: bytes, reason: str) -> None:
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
