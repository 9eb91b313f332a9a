"""What arrives in pieces is whole, what waits goes out in its order, and the rest is paho's."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from services.events.broker import quick_client
from services.events.broker.connection import V5, BrokerConnection, Login, Message
from services.events.broker.packets import (
    pack_properties,
    puback_packet,
    publish_packet,
    read_length,
)
from services.events.broker.quick_client import CHUNK
from tests.services.events.doubles import run, until

ACCEPTED = b"\x20\x03\0\0\0"
EXPIRY = b"\x02\0\0\0\x09"


class RawBroker:
    """Accepts a connection; what it sends and gets are bytes."""

    def __init__(self) -> None:
        self.got = b""
        self.reads = asyncio.Event()
        self.reads.set()
        self.writer: asyncio.StreamWriter | None = None
        self.is_ended = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(CHUNK)
        writer.write(ACCEPTED)
        self.writer = writer
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                self.got += data
                await self.reads.wait()
        self.is_ended = True
        writer.close()

    def send(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)


class Desk:
    """A connection, its messages, and what its broker acknowledged."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.acknowledged: list[tuple[int, bool]] = []
        self.connection = BrokerConnection(
            Login("me"),
            V5,
            on_message=self.messages.append,
            on_published=lambda mid, is_accepted: self.acknowledged.append((mid, is_accepted)),
        )


def connected(work: Callable[[RawBroker, Desk], Coroutine[Any, Any, None]]) -> None:
    """Runs a test with an open connection."""

    async def both() -> None:
        broker, desk = RawBroker(), Desk()
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        try:
            await desk.connection.open("127.0.0.1", server.sockets[0].getsockname()[1])
            await work(broker, desk)
        finally:
            desk.connection.close()
            broker.reads.set()
            server.close()

    run(both)


def event(number: int, payload: bytes = b"x") -> bytes:
    return publish_packet(b"events", number, payload, pack_properties([], None))


@pytest.mark.parametrize("size", [1, 7])
def test_messages_in_pieces_arrive_whole(size: int) -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        data = event(1, b"a" * 200) + event(2) + event(3, b"c" * 90)
        for start in range(0, len(data), size):
            broker.send(data[start : start + size])
            await asyncio.sleep(0)
        await until(lambda: len(desk.messages) == 3)
        assert [one.payload for one in desk.messages] == [b"a" * 200, b"x", b"c" * 90]

    connected(work)


def test_a_message_longer_than_one_read_arrives_whole() -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        payload = bytes(range(256)) * (CHUNK // 100)
        broker.send(event(1, payload) + event(2))
        await until(lambda: len(desk.messages) == 2)
        assert [one.payload for one in desk.messages] == [payload, b"x"]

    connected(work)


def test_a_long_message_is_looked_at_once_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def look(data: bytes, place: int) -> tuple[int, int] | None:
        looked.append(len(data))
        return read_length(data, place)

    async def work(broker: RawBroker, desk: Desk) -> None:
        monkeypatch.setattr(quick_client, "read_length", look)
        payload = bytes(100 * CHUNK)
        broker.send(event(1, payload) + event(2))
        await until(lambda: len(desk.messages) == 2)
        assert desk.messages[0].payload == payload
        # At least 100 reads.
        assert len(looked) < 10

    connected(work)


def test_what_only_paho_reads_keeps_its_place() -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        unusual = publish_packet(b"events", 2, b"b", bytes([len(EXPIRY)]) + EXPIRY)
        broker.send(event(1, b"a") + unusual + event(3, b"c"))
        await until(lambda: len(desk.messages) == 3)
        assert [one.payload for one in desk.messages] == [b"a", b"b", b"c"]
        for one in reversed(desk.messages):
            one.receipt.acknowledge()
        # In the order of arrival, whoever was done first.
        await until(lambda: broker.got == b"".join(map(puback_packet, (1, 2, 3))))

    connected(work)


def test_what_waits_for_a_slow_broker_goes_out_in_its_order() -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        broker.reads.clear()
        payloads = [bytes([number]) * 300_000 for number in range(40)]
        mids = [desk.connection.publish("answers", one, {}) for one in payloads]
        assert None not in mids
        await asyncio.sleep(0.1)
        assert len(broker.got) < 300_000
        broker.reads.set()
        sent = b"".join(
            publish_packet(b"answers", mid, one, pack_properties([], None))
            for mid, one in zip(mids, payloads, strict=True)
            if mid is not None
        )
        await until(lambda: len(broker.got) == len(sent))
        assert broker.got == sent

    connected(work)


def test_acknowledgements_say_what_was_refused() -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        first, second, third = (desk.connection.publish("answers", b"x", {}) for _ in range(3))
        assert first is not None
        assert second is not None
        assert third is not None
        # Accepted; not allowed; accepted, although nobody listens.
        broker.send(puback_packet(first))
        broker.send(b"\x40\x04" + second.to_bytes(2, "big") + b"\x87\0")
        broker.send(b"\x40\x03" + third.to_bytes(2, "big") + b"\x10")
        await until(lambda: len(desk.acknowledged) == 3)
        assert desk.acknowledged == [(first, True), (second, False), (third, True)]

    connected(work)


def test_a_number_that_is_under_way_is_not_given_again() -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        first = desk.connection.publish("answers", b"x", {})
        assert first is not None
        client = desk.connection._client
        while client.next_mid() != (first - 2) % 65_535 + 1:
            pass
        assert desk.connection.publish("answers", b"y", {}) is None
        broker.send(puback_packet(first))
        await until(lambda: desk.acknowledged)
        assert desk.connection.publish("answers", b"y", {}) is not None

    connected(work)


@pytest.mark.parametrize(
    "data", [b"\x32\x80\x80\x80\x80\x01", b"\x40\x01\x00", b"\x32\x03\0\5a", b"\x00\x00"]
)
def test_what_is_no_packet_ends_the_connection(data: bytes) -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        broker.send(event(1) + data)
        await until(lambda: broker.is_ended)
        assert desk.connection.lost.done()
        assert not desk.connection.is_open
        assert [one.payload for one in desk.messages] == [b"x"]

    connected(work)


def test_a_message_that_breaks_its_handler_is_not_handled_again() -> None:
    async def work(broker: RawBroker, desk: Desk) -> None:
        seen: list[bytes] = []

        def handle(message: Message) -> None:
            seen.append(message.payload)
            if message.payload == b"bad":
                raise ValueError

        desk.connection._on_message = handle
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        broker.send(event(1) + event(2, b"bad") + event(3))
        await until(lambda: len(seen) == 2)
        broker.send(event(4))
        await until(lambda: len(seen) == 4)
        assert seen == [b"x", b"bad", b"x", b"x"]

    connected(work)
