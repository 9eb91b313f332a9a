"""Stand-ins for a broker's connection and for what acknowledges a message."""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import asyncpg

from pollux.runtime.serving import ServingStore
from services.events.broker.connection import BrokerConnection, Message, Receipt, TooLongError
from tests.services.events.support import SECONDS

T = TypeVar("T")


class ReceiptDouble:
    """Counts how often a message was acknowledged."""

    def __init__(self) -> None:
        self.count = 0

    def acknowledge(self) -> None:
        self.count += 1


class ConnectionDouble:
    """A broker that keeps what is published; nothing is acknowledged by itself."""

    def __init__(self, *, receive_maximum: int = 65_535, longest: int | None = None) -> None:
        self.is_open = True
        self.receive_maximum = receive_maximum
        self.longest = longest
        self.published: dict[int, tuple[str, bytes, str]] = {}
        # What was sent back to each request: its event-id and its correlation data.
        self.echoed: list[tuple[str | None, bytes | None]] = []
        self._numbers = itertools.count(1)

    def publish(
        self,
        topic: str,
        payload: bytes,
        properties: dict[str, str],
        correlation_data: bytes | None = None,
    ) -> int | None:
        if not self.is_open:
            return None
        if self.longest is not None and len(payload) > self.longest:
            raise TooLongError(f"{len(payload)} bytes; the broker takes {self.longest}")
        mid = next(self._numbers)
        self.published[mid] = (topic, payload, properties["answer-id"])
        self.echoed.append((properties.get("event-id"), correlation_data))
        return mid

    @property
    def ids(self) -> list[str]:
        """The answer ids, in the order of sending."""
        return [one[2] for one in self.published.values()]

    def as_connection(self) -> BrokerConnection:
        return cast("BrokerConnection", self)


def message(
    topic: str, payload: bytes, event_id: str | None = None, **more: Any
) -> tuple[Message, ReceiptDouble]:
    """A message as a connection hands it over, and what tells whether it was acknowledged."""
    receipt = ReceiptDouble()
    return Message(topic, payload, event_id, cast("Receipt", receipt), **more), receipt


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a test's coroutine, no longer than a test may wait."""

    async def limited() -> T:
        async with asyncio.timeout(SECONDS):
            return await work()

    return asyncio.run(limited())


async def until(what: Callable[[], object]) -> None:
    """Waits until something holds."""
    while not what():  # noqa: ASYNC110 - whatever it is has no event to wait for
        await asyncio.sleep(0.005)


async def until_row(connection: asyncpg.Connection, sql: str, value: object = None) -> None:
    """Waits until a query's value is this one, or without it until it is true."""
    while True:
        found = await connection.fetchval(sql)
        if found == value if value is not None else found:
            return
        await asyncio.sleep(0.005)


WAITS_FOR_LOCK = "select count(*) from pg_locks where not granted"


async def connect(store: ServingStore) -> asyncpg.Connection:
    """The test's own connection."""
    return await asyncpg.connect(store.owner_url)


def keep_out(store: ServingStore, kind: str, id_: str) -> None:
    """Keeps a subject out, as after its erasure, and leaves the released tables as they are."""
    with store.connect() as connection:
        ((salt,),) = connection.execute("select salt from erasure.salt").fetchall()
        digest = hashlib.sha256(salt + f"{kind}:{id_}".encode()).digest()
        connection.execute("insert into erasure.suppressed (digest) values (%s)", [digest])
