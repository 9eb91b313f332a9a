"""A tiny broker whose answers a test decides: what it refuses, forgets or disconnects for."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PING = 0x10, 0x30, 0x82, 0xA2, 0xC0
NOT_AUTHORIZED = 0x87


class FakeBroker:
    """Speaks just enough MQTT 5; echoes what is published with QoS 0, as to its subscriber."""

    def __init__(self) -> None:
        self.port = 0
        self.echoes = True
        self.closes_on_publish = False
        # Topic filters, or beginnings of them, that nobody may subscribe to.
        self.refused: tuple[str, ...] = ()
        self.granted = 1
        self.subscribed: list[str] = []
        self.unsubscribed: list[str] = []
        self.published: list[str] = []
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeBroker"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.drop()

    def drop(self, reason: int | None = None) -> None:
        """Closes every connection, as a broker that is restarted, or with a reason."""
        for writer in self._writers:
            if reason is not None:
                writer.write(_packet(0xE0, bytes([reason, 0])))
            writer.close()

    def send(self, topic: str, payload: bytes) -> None:
        """Delivers a message to every client."""
        body = struct.pack("!H", len(topic)) + topic.encode() + b"\x00" + payload
        for writer in self._writers:
            writer.write(_packet(PUBLISH, body))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                kind, body = await _read(reader)
                answer = self._answer(kind, body)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, kind: int, body: bytes) -> bytes | None:
        """What to answer; None ends the connection."""
        if kind == CONNECT:
            self.connections += 1
            return _packet(0x20, b"\x00\x00\x00")
        if kind == PUBLISH:
            return self._echo(body)
        if kind == PING:
            return _packet(0xD0, b"")
        if kind not in {SUBSCRIBE, UNSUBSCRIBE}:
            return None
        topics = _topics(body, with_options=kind == SUBSCRIBE)
        if kind == UNSUBSCRIBE:
            self.unsubscribed += topics
            return _packet(0xB0, body[:2] + b"\x00" + bytes(len(topics)))
        self.subscribed += topics
        refused = self.refused or ("\0",)
        codes = [NOT_AUTHORIZED if topic.startswith(refused) else self.granted for topic in topics]
        return _packet(0x90, body[:2] + b"\x00" + bytes(codes))

    def _echo(self, body: bytes) -> bytes | None:
        (length,) = struct.unpack("!H", body[:2])
        self.published.append(body[2 : 2 + length].decode())
        if self.closes_on_publish:
            return None
        return _packet(PUBLISH, body) if self.echoes else b""


def _topics(body: bytes, *, with_options: bool) -> list[str]:
    place, found = 3 + body[2], []
    while place < len(body):
        (length,) = struct.unpack("!H", body[place : place + 2])
        found.append(body[place + 2 : place + 2 + length].decode())
        place += 2 + length + with_options
    return found


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, length = await reader.readexactly(2)
    if length > 127:
        (more,) = await reader.readexactly(1)
        length += (more - 1) * 128
    return kind, await reader.readexactly(length)
