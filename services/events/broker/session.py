"""A place at a broker, taken again whenever it is lost.

Belongs here: which broker, which version of MQTT, how long to wait. Does not belong here: what a
connection is (`mqtt`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from paho.mqtt.enums import MQTTProtocolVersion

from services.events.broker.connection import (
    BrokerUnreachableError,
    Connection,
    Login,
    Message,
    UnsupportedProtocolError,
)

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
PROTOCOLS = {"5": (V5,), "3.1.1": (V311,), "auto": (V5, V311)}
KEEP_ALIVE_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

log = logging.getLogger("pollux.events")


class Link:
    """Keeps one client of several brokers connected and subscribed.

    `topics` tells what to subscribe to in a version of MQTT; it may refuse the version.
    """

    def __init__(
        self,
        login: Login,
        brokers: Sequence[tuple[str, int]],
        protocol: str,
        *,
        topics: Callable[[MQTTProtocolVersion], Sequence[str]],
        on_message: Callable[[Message], None],
        on_published: Callable[[int, bool], None] = lambda _mid, _is_accepted: None,
        on_change: Callable[[Connection | None], None] = lambda _connection: None,
    ) -> None:
        self._login = login
        self._brokers = brokers
        self._protocols = PROTOCOLS[protocol]
        self._topics = topics
        self._on_message = on_message
        self._on_published = on_published
        self._on_change = on_change
        self.connection: Connection | None = None
        self.problem = "not connected yet"

    @property
    def is_up(self) -> bool:
        """Whether messages come and go."""
        return self.connection is not None and self.connection.is_open

    async def run(self) -> None:
        """Connects, and again; runs until cancelled. Raises `BrokerRefusesError`."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            for host, port in self._brokers:
                connection = await self._try(host, port)
                if connection is None:
                    continue
                log.info("%s is connected to %s:%d", self._login.client_id, host, port)
                since = time.monotonic()
                try:
                    await self._stay(connection)
                finally:
                    self.connection = None
                    self._on_change(None)
                    connection.close()
                self.problem = f"the connection was lost: {connection.reason}"
                log.warning("%s lost its broker: %s", self._login.client_id, connection.reason)
                if time.monotonic() - since > LONGEST_PAUSE_SECONDS:
                    pause = FIRST_PAUSE_SECONDS
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _try(self, host: str, port: int) -> Connection | None:
        for protocol in self._protocols:
            connection = Connection(
                self._login,
                protocol,
                on_message=self._on_message,
                on_published=self._on_published,
            )
            try:
                topics = self._topics(protocol)
                await connection.open(host, port)
                # A session that was here before sends at once what it kept.
                self.connection = connection
                self._on_change(connection)
                await connection.subscribe(topics)
            except UnsupportedProtocolError as error:
                self._give_up(connection, host, port, error)
                continue
            except BrokerUnreachableError as error:
                self._give_up(connection, host, port, error)
                return None
            except BaseException:
                connection.close()
                raise
            if protocol == V5:
                # It speaks it: a later hiccup must not be taken for a refusal.
                self._protocols = (V5,)
            return connection
        return None

    def _give_up(
        self, connection: Connection, host: str, port: int, error: BrokerUnreachableError
    ) -> None:
        self.connection = None
        self._on_change(None)
        connection.close()
        problem = f"{host}:{port}: {error}"
        if problem != self.problem:
            log.warning("Broker %s", problem)
        self.problem = problem

    async def _stay(self, connection: Connection) -> None:
        while not connection.lost.done():
            await asyncio.wait({connection.lost}, timeout=KEEP_ALIVE_SECONDS)
            connection.keep_alive()
