"""The loyalty list and conversions: members made, extra codes sent.

Belongs here: what a row leads to, in the order in which rows come. Does not belong here: what a
row must have to be read (`promotions`).

One worker does this at a time: whether a click earns a code depends on what came before it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

import asyncpg
import orjson

from services.common.database import Database, SlowQueryError, StoreUnavailableError
from services.common.releases import Release
from services.events.broker.connection import Message, Receipt
from services.events.database.connection import Ledger
from services.events.database.dead_letters import (
    UnreadableMessage,
    resolve,
    write_dead_letters,
)
from services.events.database.event_keys import answer_id, event_key, line_key
from services.events.database.inbox import INSERT_NEW
from services.events.database.outbox import LEASE_SECONDS, Answer, Outbox
from services.events.loyalty.messages import (
    MAX_BYTES,
    MAX_ROWS,
    Conversion,
    Listed,
    Refused,
    read_conversions,
    read_loyalty_rows,
)
from services.events.metrics import Counts
from services.events.payloads import UnreadableError

ClubKind = Literal["loyalty", "conversion"]
Rows = Sequence[Listed | Conversion | Refused]
GROUP = 100
PAUSE_SECONDS = 1.0

# Its key may be forgotten; what it led to is not.
DONE = """
select event_key from events.conversions where event_key = any($1)
union
select event_key from events.loyalty_list where event_key = any($1)
"""
RELEASED_MEMBERS = "select email from {schema}.members where email = any($1)"
MEMBERS = "select email from events.members where email = any($1)"
CODES = "select promotion, email from events.promo_codes where email = any($1)"
LISTED = """
insert into events.loyalty_list (event_key, line, email, fb_user, insta_user, gender)
values ($1, $2, $3, $4, $5, $6)
"""
JOINED_BY_LIST = """
insert into events.members (email, fb_user, insta_user, gender, joined_by)
values ($1, $2, $3, $4, 'list')
on conflict (email) do update
set
    fb_user = coalesce(excluded.fb_user, members.fb_user),
    insta_user = coalesce(excluded.insta_user, members.insta_user),
    gender = coalesce(excluded.gender, members.gender),
    joined_by = 'list'
"""
JOINED_BY_PURCHASE = """
insert into events.members (email, joined_by) values ($1, 'purchase') on conflict do nothing
"""
CONVERTED = """
insert into events.conversions (
    event_key, line, promotion, conversion_type, email, channel, items, total, is_code_sent,
    is_new_member
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
CODE_SENT = "insert into events.promo_codes (promotion, email, answer_id) values ($1, $2, $3)"
QUEUED = f"""
insert into events.outbox (
    event_key, answer_id, topic, opening, closing, worker, leased_until
)
values ($1, $2, $3, $4, '', $5, clock_timestamp() + interval '{LEASE_SECONDS} s')
"""

log = logging.getLogger("pollux.events")


@dataclass(slots=True, eq=False)
class Case:
    """A message under way: its rows, or why it cannot be read at all."""

    key: UUID
    kind: ClubKind
    topic: str
    payload: bytes
    receipt: Receipt | None
    since: float
    rows: Rows = ()
    unreadable: str | None = None
    is_replay: bool = False


@dataclass(slots=True)
class Effects:
    """What a group of messages leads to, as rows of tables; the order is that of arrival."""

    listed: list[tuple[object, ...]] = field(default_factory=list)
    joined_by_list: list[tuple[object, ...]] = field(default_factory=list)
    joined_by_purchase: list[tuple[object, ...]] = field(default_factory=list)
    converted: list[tuple[object, ...]] = field(default_factory=list)
    codes: list[tuple[object, ...]] = field(default_factory=list)
    answers: list[tuple[UUID, Answer]] = field(default_factory=list)
    letters: list[UnreadableMessage] = field(default_factory=list)


class Club:
    """Takes the loyalty list and conversions, one after the other."""

    def __init__(
        self,
        *,
        database: Database,
        release: Callable[[], Release | None],
        ledger: Ledger,
        outbox: Outbox,
        counts: Counts,
        worker: str,
        code_topic: str,
        line_topic: str,
    ) -> None:
        self._database = database
        self._release = release
        self._ledger = ledger
        self._outbox = outbox
        self._counts = counts
        self._worker = worker
        self._code_topic = code_topic
        self._line_topic = line_topic
        self._waiting: list[Case] = []
        self._under_way: list[Case] = []
        self._is_filled = asyncio.Event()

    def oldest_seconds(self) -> float:
        """How long the oldest event in hand has waited."""
        first = next(iter((*self._under_way, *self._waiting)), None)
        return 0.0 if first is None else time.monotonic() - first.since

    def take(self, kind: ClubKind, message: Message) -> None:
        """Takes a message; never raises, or the connection would end."""
        key = event_key(message.topic, message.payload, message.event_id)
        now = time.monotonic()
        self._begin(Case(key, kind, message.topic, message.payload, message.receipt, now))

    def replay(self, key: UUID, kind: ClubKind, topic: str, payload: bytes) -> None:
        """Takes a dead letter again, under its own key."""
        if all(case.key != key for case in self._waiting):
            self._begin(Case(key, kind, topic, payload, None, time.monotonic(), is_replay=True))

    def drop(self) -> None:
        """Forgets what waits: the broker sends it again, to whoever has the turn."""
        self._waiting.clear()

    async def run(self) -> None:
        """Commits what came, in its order; runs until cancelled."""
        while True:
            await self._is_filled.wait()
            group = self._under_way = self._next_group()
            if not self._waiting:
                self._is_filled.clear()
            await self._settle(group)
            self._under_way = []

    def _next_group(self) -> list[Case]:
        """What is there, as far as one transaction does it in good time; at least one message."""
        rows = size = count = 0
        for case in self._waiting[:GROUP]:
            rows += len(case.rows)
            size += len(case.payload)
            if count and (rows > MAX_ROWS or size > MAX_BYTES):
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    def _begin(self, case: Case) -> None:
        self._counts.received[case.kind].inc()
        try:
            read = read_loyalty_rows if case.kind == "loyalty" else read_conversions
            case.rows = read(case.payload)
        except UnreadableError as error:
            case.unreadable = str(error)
        except Exception:
            log.error("An event broke its reader: %s", case.key)  # noqa: TRY400
            case.unreadable = "internal error while reading"
        self._waiting.append(case)
        self._is_filled.set()

    async def _settle(self, group: Sequence[Case]) -> None:
        interruptions = self._ledger.interruptions
        rows = [row for case in group for row in case.rows]
        emails = sorted({row.email for row in rows if not isinstance(row, Refused)})
        released = await self._released_members(emails)
        try:
            new, effects = await self._ledger.do(
                lambda connection: self._write(connection, group, emails, released)
            )
        except asyncpg.PostgresError as error:
            # One of them is refused; alone it does not hold up the others.
            if len(group) == 1:
                self._refuse(group[0], error)
            for case in group:
                await self._settle([case])
            return
        if self._ledger.interruptions != interruptions:
            self._outbox.take_own()
        self._finish(group, new, effects)

    def _refuse(self, case: Case, error: asyncpg.PostgresError) -> None:
        if case.unreadable is not None:
            raise error
        log.error("The database refuses event %s: %s", case.key, type(error).__name__)
        case.unreadable = f"the database refuses it: {type(error).__name__}"
        case.rows = ()

    def _finish(self, group: Sequence[Case], new: set[UUID], effects: Effects) -> None:
        for _, answer in effects.answers:
            self._outbox.publish(answer)
        for letter in effects.letters:
            self._counts.dead[letter.kind].inc()
            log.warning("Dead letter %s (%s): %s", letter.event_key, letter.kind, letter.reason)
        for case in group:
            if case.key not in new and case.unreadable is None:
                self._counts.repeated[case.kind].inc()
            if case.receipt is not None:
                case.receipt.done()

    async def _released_members(self, emails: Sequence[str]) -> set[str]:
        is_told = False
        while emails:
            release = self._release()
            if release is None:
                break
            sql = RELEASED_MEMBERS.format(schema=release.schema)
            try:
                return {row[0] for row in await self._database.fetch(sql, list(emails))}
            except (StoreUnavailableError, SlowQueryError, asyncpg.UndefinedTableError) as error:
                if not is_told:
                    log.warning("%s cannot be read: %s", release.name, type(error).__name__)
                is_told = True
                await asyncio.sleep(PAUSE_SECONDS)
        return set()

    async def _write(
        self,
        connection: asyncpg.Connection,
        group: Sequence[Case],
        emails: Sequence[str],
        released: set[str],
    ) -> tuple[set[UUID], Effects]:
        readable = [case for case in group if case.unreadable is None]
        effects = Effects()
        async with connection.transaction():
            keys = [case.key for case in readable], [case.kind for case in readable]
            arrived = {row[0] for row in await connection.fetch(INSERT_NEW, self._worker, *keys)}
            done = {row[0] for row in await connection.fetch(DONE, sorted(arrived))}
            new = arrived - done
            joined = {row[0] for row in await connection.fetch(MEMBERS, emails)}
            codes = {tuple(row) for row in await connection.fetch(CODES, emails)}
            plan = _Plan(effects, released | joined, codes, self._code_topic, self._line_topic)
            taken: set[UUID] = set()
            for case in group:
                if case.unreadable is not None:
                    letter = (case.key, case.kind, case.topic, case.payload, case.unreadable)
                    effects.letters.append(UnreadableMessage(*letter))
                elif case.key in new and case.key not in taken:
                    taken.add(case.key)
                    plan.add(case)
            await self._insert(connection, effects)
            replayed = [case.key for case in readable if case.is_replay]
            if replayed:
                await resolve(connection, replayed)
        return new, effects

    async def _insert(self, connection: asyncpg.Connection, effects: Effects) -> None:
        for sql, rows in (
            (LISTED, effects.listed),
            (JOINED_BY_LIST, effects.joined_by_list),
            (JOINED_BY_PURCHASE, effects.joined_by_purchase),
            (CONVERTED, effects.converted),
            (CODE_SENT, effects.codes),
            (
                QUEUED,
                [
                    (key, one.id, one.topic, one.opening, self._worker)
                    for key, one in effects.answers
                ],
            ),
        ):
            if rows:
                await connection.executemany(sql, rows)
        if effects.letters:
            await write_dead_letters(connection, effects.letters, max_bytes=MAX_BYTES)


class _Plan:
    """What rows lead to, one after the other, from who is a member and has a code already."""

    def __init__(
        self,
        effects: Effects,
        members: set[str],
        codes: set[tuple[str, ...]],
        code_topic: str,
        line_topic: str,
    ) -> None:
        self._effects = effects
        self._members = members
        self._codes = codes
        self._code_topic = code_topic
        self._line_topic = line_topic

    def add(self, case: Case) -> None:
        """Adds a message."""
        for line, row in enumerate(case.rows, start=1):
            if isinstance(row, Refused):
                key = line_key(case.key, line)
                letter = UnreadableMessage(key, case.kind, case.topic, row.raw, row.reason)
                self._effects.letters.append(letter)
            elif isinstance(row, Listed):
                self._effects.listed.append((case.key, line, *row))
                self._effects.joined_by_list.append(tuple(row))
                self._members.add(row.email)
            else:
                self._convert(case.key, line, row)

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
            self._effects.answers.append((event, Answer(code, self._code_topic, payload)))
        text = f"Send additional promo code to: {row.email}, {sends_code}\n"
        answer = Answer(answer_id(origin, "line"), self._line_topic, text.encode())
        self._effects.answers.append((event, answer))
