"""Messages whose order matters: committed one after the other, in groups of one transaction.

Belongs here: a message's way from the broker or HTTP to its commit, and to a dead letter where it
cannot be read or written. Does not belong here: what is in a message, and what it leads to.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from services.events.broker.connection import Message, Receipt
from services.events.database.connection import DatabaseWriter
from services.events.database.dead_letters import (
    UnreadableMessage,
    resolve,
    write_dead_letters,
)
from services.events.database.event_keys import event_key
from services.events.database.inbox import INSERT_NEW
from services.events.database.outbox import EventAnswer
from services.events.metrics import EventMetrics
from services.events.payloads import MAX_BYTES, MAX_ROWS, UnreadableError
from services.events.settings import OrderedKind

GROUP = 100

Row = TypeVar("Row")

log = logging.getLogger("pollux.events")


@dataclass(slots=True, eq=False)
class PendingMessage(Generic[Row]):
    """A message under way: its rows, or why it cannot be read at all."""

    key: UUID
    kind: OrderedKind
    topic: str
    payload: bytes
    rows: Sequence[Row] = ()
    unreadable: str | None = None
    receipt: Receipt | None = None
    is_replay: bool = False
    since: float = field(default_factory=time.monotonic)
    # Whether the event was new, for somebody who waits for its commit.
    is_new: asyncio.Future[bool] | None = None


class Written(NamedTuple):
    """What a group of messages led to; `new` are the keys that were never handled before."""

    new: set[UUID]
    unreadable: Sequence[UnreadableMessage]
    answers: Sequence[EventAnswer] = ()


class OrderedHandler(ABC, Generic[Row]):
    """Takes messages one after the other; what it commits is on disk, and acknowledged."""

    def __init__(self, *, writer: DatabaseWriter, metrics: EventMetrics, worker: str) -> None:
        self._writer = writer
        self._metrics = metrics
        self._worker = worker
        self._waiting: list[PendingMessage[Row]] = []
        self._under_way: list[PendingMessage[Row]] = []
        self._is_filled = asyncio.Event()

    @abstractmethod
    def _read(self, kind: OrderedKind, payload: bytes) -> tuple[Sequence[Row], str | None]:
        """The rows of a message, and the event's id if it is among them.

        Raises `UnreadableError` for the message as a whole.
        """

    @abstractmethod
    async def _write(
        self, connection: asyncpg.Connection, group: Sequence[PendingMessage[Row]]
    ) -> Written:
        """Writes what a group leads to in one transaction; safe to repeat."""

    def _publish(self, answers: Sequence[EventAnswer], *, is_certain: bool) -> None:
        """Sends committed answers; `is_certain` unless a reply of the database was lost."""

    def oldest_seconds(self) -> float:
        """How long the oldest event in hand has waited."""
        first = next(iter((*self._under_way, *self._waiting)), None)
        return 0.0 if first is None else time.monotonic() - first.since

    def handle(self, kind: OrderedKind, message: Message) -> None:
        """Takes a message; never raises, which would end the connection."""
        rows, event_id, unreadable = self._try_to_read(kind, message.payload)
        key = event_key(message.topic, message.payload, message.event_id or event_id)
        self._metrics.received[kind].inc()
        self._put(
            PendingMessage(
                key,
                kind,
                message.topic,
                message.payload,
                rows,
                unreadable=unreadable,
                receipt=message.receipt,
            )
        )

    def replay(self, key: UUID, kind: OrderedKind, topic: str, payload: bytes) -> None:
        """Takes a dead letter again, under its own key."""
        if all(message.key != key for message in self._waiting):
            rows, _, unreadable = self._try_to_read(kind, payload)
            self._metrics.received[kind].inc()
            self._put(
                PendingMessage(
                    key, kind, topic, payload, rows, unreadable=unreadable, is_replay=True
                )
            )

    def drop(self) -> None:
        """Forgets messages of the broker that wait: it sends them again, to the leader."""
        self._waiting = [message for message in self._waiting if message.receipt is None]

    async def run(self) -> None:
        """Commits messages in order of arrival; runs until cancelled."""
        while True:
            await self._is_filled.wait()
            group = self._under_way = self._next_group()
            if not self._waiting:
                self._is_filled.clear()
            await self._commit(group)
            self._under_way = []

    def _put(self, message: PendingMessage[Row]) -> None:
        self._waiting.append(message)
        self._is_filled.set()

    def _withdraw(self, message: PendingMessage[Row]) -> None:
        """Forgets a message that waits; one that is being committed stays."""
        if message in self._waiting:
            self._waiting.remove(message)

    def _try_to_read(
        self, kind: OrderedKind, payload: bytes
    ) -> tuple[Sequence[Row], str | None, str | None]:
        """Rows and id as `_read` has them, and why the message cannot be read."""
        try:
            return (*self._read(kind, payload), None)
        except UnreadableError as error:
            return (), None, str(error)
        except Exception:
            # Not the exception's text, which may quote the message.
            log.error("A message broke its reader: %s", kind)  # noqa: TRY400
            return (), None, "internal error while reading"

    def _next_group(self) -> list[PendingMessage[Row]]:
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

    async def _commit(self, group: Sequence[PendingMessage[Row]]) -> None:
        interruptions = self._writer.interruptions
        try:
            written = await self._writer.retry(lambda connection: self._write(connection, group))
        except asyncpg.PostgresError as error:
            # One message is refused; committed alone, it does not hold up the others.
            if len(group) == 1:
                self._refuse(group[0], error)
            for message in group:
                await self._commit([message])
            return
        self._publish(written.answers, is_certain=self._writer.interruptions == interruptions)
        self._finish(group, written)

    def _refuse(self, message: PendingMessage[Row], error: asyncpg.PostgresError) -> None:
        if message.unreadable is not None:
            raise error
        log.error("The database refuses event %s: %s", message.key, type(error).__name__)
        message.unreadable = f"the database refuses it: {type(error).__name__}"
        message.rows = ()

    def _finish(self, group: Sequence[PendingMessage[Row]], written: Written) -> None:
        for one in written.unreadable:
            self._metrics.dead[one.kind].inc()
            log.warning("Dead letter %s (%s): %s", one.event_key, one.kind, one.reason)
        new = set(written.new)
        for message in group:
            is_new = message.unreadable is None and message.key in new
            if is_new:
                new.remove(message.key)
            elif message.unreadable is None:
                self._metrics.repeated[message.kind].inc()
            if message.receipt is not None:
                message.receipt.acknowledge()
            if message.is_new is not None:
                message.is_new.set_result(is_new)


async def write_new_keys(
    connection: asyncpg.Connection,
    worker: str,
    messages: Sequence[PendingMessage[Row]],
    handled: str,
) -> set[UUID]:
    """Records the keys of messages; returns those that were never handled before.

    `handled` is the SQL of the keys among $1 whose effects are there: retention deletes keys from
    the inbox, but not what their events led to.
    """
    keys, kinds = [one.key for one in messages], [one.kind for one in messages]
    arrived = {row[0] for row in await connection.fetch(INSERT_NEW, worker, keys, kinds)}
    return arrived - {row[0] for row in await connection.fetch(handled, sorted(arrived))}


async def write_dead_and_resolved(
    connection: asyncpg.Connection,
    group: Sequence[PendingMessage[Row]],
    unreadable: Sequence[UnreadableMessage],
) -> None:
    """Writes the dead letters of a group, and closes those whose replay was read."""
    if unreadable:
        await write_dead_letters(connection, unreadable, max_bytes=MAX_BYTES)
    replayed = [one.key for one in group if one.is_replay and one.unreadable is None]
    if replayed:
        await resolve(connection, replayed)
