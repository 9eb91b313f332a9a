"""amqtt as a process: `python -m pollux.runtime.broker_amqtt FILE`.

`pollux.runtime.broker` decides when it runs, and writes the file: the listener, and the clients
with their passwords and topics.

amqtt speaks MQTT 3.1.1 and keeps everything in memory: a restart loses sessions and messages. It
gives up on a message that is not acknowledged within five seconds.
"""

import asyncio
import json
import logging
import signal
import sys
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Any

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

CONNECT, PROTOCOL, LEVEL = b"\x10", b"\x00\x04MQTT", b"\x04"
# "Unacceptable protocol version".
REFUSED = bytes.fromhex("2002 0001")
# A length has up to four bytes; all but the last have this bit.
MORE_OF_LENGTH = 0x80
LONGEST_HEADER = 5


class Access(BaseAuthPlugin, BaseTopicPlugin):  # type: ignore[misc]
    """Lets the clients in that are known, and each do what it may."""

    @dataclass
    class Config:
        """The clients: name, password, and the topics that each publishes to and reads."""

        clients: list[dict[str, Any]] = field(default_factory=list)

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._clients = {client["name"]: client for client in self.config.clients}
        self._owners: dict[str | None, str] = {}

    async def authenticate(self, *, session: Session) -> bool | None:
        """Whether name and password are a client's, and the session is no other client's."""
        client = self._clients.get(session.username)
        given = (session.password or "").encode()
        if client is None or not compare_digest(client["password"].encode(), given):
            return False
        # What waits in a session is not for whoever knows its id.
        owner = self._owners.setdefault(session.client_id, session.username)
        return bool(owner == session.username)

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool | None:
        """Whether the client may publish to a topic, or read what a topic or filter names."""
        client = self._clients.get(session.username if session is not None else None)
        if client is None or topic is None:
            return False
        allowed = client["publishes" if action == Action.PUBLISH else "reads"]
        return any(covers(one, topic) for one in allowed)


def covers(allowed: str, asked: str) -> bool:
    """Whether a filter, which may end with `#`, holds all that a topic or another filter names."""
    return allowed == asked or (allowed.endswith("#") and f"{asked}/".startswith(allowed[:-1]))


class ReadAhead(StreamReaderAdapter):  # type: ignore[misc]
    """A connection whose first bytes have already been read."""

    def __init__(self, beginning: bytes, reader: StreamReader) -> None:
        super().__init__(reader)
        self._beginning = beginning

    async def read(self, n: int = -1) -> bytes:
        """The next bytes."""
        first, self._beginning = self._beginning[:n], self._beginning[n:]
        return first + (await super().read(n - len(first)) if n > len(first) else b"")


class OneVersion(Broker):  # type: ignore[misc]
    """A broker that refuses MQTT versions other than 3.1.1 as soon as it knows the version.

    amqtt refuses them only after reading the whole packet in 3.1.1's layout. A packet of MQTT 5
    holds more, and some MQTT 5 clients would wait for an answer forever.

    What is retained goes to clients that subscribed to it. amqtt would also send it to each client
    that connects, once for every subscription of the others.
    """

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribed = self._subscriptions.get(subscription[0], ())
        if any(one.client_id == session.client_id for one, _ in subscribed):
            await super()._publish_retained_messages_for_subscription(subscription, session)

    async def stream_connected(
        self, reader: StreamReader, writer: StreamWriter, listener_name: str
    ) -> None:
        """Takes a connection."""
        try:
            beginning = await reader.readexactly(2)
            while beginning[-1] >= MORE_OF_LENGTH and len(beginning) < LONGEST_HEADER:
                beginning += await reader.readexactly(1)
            beginning += await reader.readexactly(len(PROTOCOL) + 1)
            if beginning[:1] == CONNECT and beginning[-1:] > LEVEL and PROTOCOL in beginning:
                writer.write(REFUSED)
                await writer.drain()
                writer.close()
                return
        except (IncompleteReadError, OSError):
            writer.close()
            return
        await self.external_connected(
            ReadAhead(beginning, reader), StreamWriterAdapter(writer), listener_name
        )


async def serve(listener: Mapping[str, Any], clients: Sequence[Mapping[str, Any]]) -> None:
    """Runs the broker until the process is told to stop."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    broker = OneVersion(
        {
            "listeners": {"default": listener},
            "plugins": {f"{Access.__module__}.{Access.__qualname__}": {"clients": clients}},
        }
    )
    await broker.start()
    await asked_to_stop.wait()
    await broker.shutdown()


def main() -> None:
    """Reads the command line, `FILE`."""
    (file,) = sys.argv[1:]
    # Its logs below warnings name topics and show messages.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    asyncio.run(serve(**json.loads(Path(file).read_text())))


if __name__ == "__main__":
    main()
