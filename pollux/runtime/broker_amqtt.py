"""amqtt as a process: `python -m pollux.runtime.broker_amqtt HOST PORT`.

`pollux.runtime.broker` decides when it runs.

amqtt speaks MQTT 3.1.1 and keeps everything in memory: a restart loses sessions and messages. It
gives up on a message that is not acknowledged within five seconds.
"""

import asyncio
import logging
import signal
import sys
from asyncio import IncompleteReadError, StreamReader, StreamWriter

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

CONNECT, PROTOCOL, LEVEL = b"\x10", b"\x00\x04MQTT", b"\x04"
# "Unacceptable protocol version".
REFUSED = bytes.fromhex("2002 0001")
# A length has up to four bytes; all but the last have this bit.
MORE_OF_LENGTH = 0x80
LONGEST_HEADER = 5


class Guests(BaseAuthPlugin):  # type: ignore[misc]
    """Lets every client in.

    amqtt's own plugin for that treats anonymous clients as having no session, and keeps nothing for
    a worker that is away.
    """

    async def authenticate(self, *, session: Session) -> bool | None:
        """Accepts the client."""
        return session is not None


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


async def serve(host: str, port: int) -> None:
    """Runs the broker until the process is told to stop."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    broker = OneVersion(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
            "plugins": {f"{Guests.__module__}.{Guests.__qualname__}": {}},
        }
    )
    await broker.start()
    await asked_to_stop.wait()
    await broker.shutdown()


def main() -> None:
    """Reads the command line, `HOST PORT`."""
    host, port = sys.argv[1:]
    # Its logs below warnings name topics and show messages.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    asyncio.run(serve(host, int(port)))


if __name__ == "__main__":
    main()
