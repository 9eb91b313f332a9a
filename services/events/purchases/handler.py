"""Purchases: from a message or a request to rows that land as data.

Belongs here: an event's path to its commit. Does not belong here: how a purchase is read
(`schemas`, `rows`), and what it means, which models define.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg

from services.common.problems import ProblemError, internal_error
from services.events.database.connection import DatabaseWriter
from services.events.database.dead_letters import UnreadableMessage
from services.events.database.event_keys import event_key
from services.events.metrics import EventMetrics
from services.events.ordered import (
    OrderedHandler,
    PendingMessage,
    Written,
    write_dead_and_resolved,
    write_new_keys,
)
from services.events.purchases import repository
from services.events.purchases.repository import HANDLED
from services.events.purchases.rows import PurchaseRow, read_purchase, rows_of
from services.events.purchases.schemas import Basket, Order
from services.events.settings import OrderedKind


class Taken(NamedTuple):
    """A purchase that is on disk, by the key of its event."""

    event_key: UUID
    is_repeated: bool


class PurchaseHandler(OrderedHandler[PurchaseRow]):
    """Takes purchases; a basket's or an order's last event counts, so their order matters."""

    def __init__(
        self,
        *,
        writer: DatabaseWriter,
        metrics: EventMetrics,
        worker: str,
        zone: ZoneInfo,
        topic: str,
    ) -> None:
        super().__init__(writer=writer, metrics=metrics, worker=worker)
        self._zone = zone
        # An id means the same event, over HTTP and over MQTT.
        self._topic = topic

    async def take(self, purchase: Basket | Order) -> Taken:
        """Takes a purchase that came over HTTP; returns when it is on disk.

        Raises `UnreadableError` for a day that cannot be, and a problem where an event with its id
        was another purchase.
        """
        rows = rows_of(purchase, self._zone)
        name = purchase.event_id
        key = uuid4() if name is None else event_key(self._topic, b"", name)
        is_new = asyncio.get_running_loop().create_future()
        payload = purchase.model_dump_json(exclude_none=True).encode()
        message = PendingMessage(key, "purchase", self._topic, payload, rows, is_new=is_new)
        self._put(message)
        try:
            # Nobody may wait any more, and its commit tells the future all the same.
            await asyncio.shield(is_new)
        except asyncio.CancelledError:
            # Written long after its sender gave up, it could replace its own correction.
            self._withdraw(message)
            raise
        if message.unreadable is not None:
            raise internal_error()
        if not is_new.result():
            recorded = await self._writer.retry(
                lambda connection: repository.read_purchase_rows(connection, key)
            )
            if recorded and recorded != rows:
                raise purchase_id_used()
        return Taken(key, not is_new.result())

    def _read(self, _kind: OrderedKind, payload: bytes) -> tuple[Sequence[PurchaseRow], str | None]:
        purchase = read_purchase(payload)
        return rows_of(purchase, self._zone), purchase.event_id

    async def _write(
        self, connection: asyncpg.Connection, group: Sequence[PendingMessage[PurchaseRow]]
    ) -> Written:
        readable: dict[UUID, PendingMessage[PurchaseRow]] = {}
        for one in group:
            if one.unreadable is None:
                readable.setdefault(one.key, one)
        messages = list(readable.values())
        unreadable = [
            UnreadableMessage(one.key, one.kind, one.topic, one.payload, one.unreadable)
            for one in group
            if one.unreadable is not None
        ]
        async with connection.transaction():
            await repository.lock_numbers(connection)
            new = await write_new_keys(connection, self._worker, messages, HANDLED)
            await repository.write_purchases(
                connection, [(one.key, one.rows) for one in messages if one.key in new]
            )
            await write_dead_and_resolved(connection, group, unreadable)
        return Written(new, unreadable)


def purchase_id_used() -> ProblemError:
    """An event with this id was taken, and it was another one."""
    return ProblemError(
        HTTPStatus.CONFLICT,
        "event-id-used",
        "Event id used already",
        "An event with this event_id was another purchase, which counts.",
    )
