"""amqtt as a process: `python -m pollux.runtime.broker_amqtt HOST PORT`.

Belongs here: how amqtt is set up. Does not belong here: when it runs (`pollux.runtime.broker`).

It speaks MQTT 3.1.1 and keeps everything in memory: a restart forgets sessions and messages, and it
gives up on a message that is not acknowledged within five seconds.
"""

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session


class Guests(BaseAuthPlugin):  # type: ignore[misc]
    """Lets everyone in.

    amqtt's own plugin for that takes guests for people without a session, and keeps nothing for a
    worker that is away.
    """

    async def authenticate(self, *, session: Session) -> bool | None:
        """Says yes."""
        return session is not None


async def serve(host: str, port: int) -> None:
    """Runs the broker until the process is told to stop."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    broker = Broker(
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
    # What it says below warnings names topics and shows messages.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    asyncio.run(serve(host, int(port)))


if __name__ == "__main__":
    main()
