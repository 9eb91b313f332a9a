"""A client's session at a broker: reconnects when the connection is lost, and proves that it works.

Belongs here: which broker, which version of MQTT, how long to wait, what is subscribed to, and
whether messages arrive. Does not belong here: what a connection is (`connection`).

An open connection proves little: a broker may have forgotten its session's subscriptions, because
another client used the id, or because of a restart behind a proxy. So a session that hears nothing
sends itself a message now and then, and reconnects if that does not arrive. If the broker's access
control forbids such a message, the session subscribes again instead.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from paho.mqtt.enums import MQTTProtocolVersion

from services.events.broker.connection import (
    V5,
    V311,
    BrokerConnection,
    BrokerUnreachableError,
    Login,
    Message,
    UnsupportedProtocolError,
)

PROTOCOLS = {"5": (V5,), "3.1.1": (V311,), "auto": (V5, V311)}
LOOK_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
# A session that received nothing for this long must prove that it can.
QUIET_SECONDS = 10.0
PROOF_SECONDS = 5.0
MAX_LOST = 2
PROOF_TOPIC = "pollux/proof"

log = logging.getLogger("pollux.events")


class Topics(NamedTuple):
    """The topics that a session subscribes to, and former ones that it unsubscribes from."""

    wanted: Sequence[str]
    unwanted: Sequence[str] = ()


class BrokerSession:
    """Keeps one client of several brokers connected and subscribed.

    `topics` gives the topics for a version of MQTT, and may change them; it raises
    `BrokerRefusesError` for a version that it refuses.
    """

    def __init__(
        self,
        login: Login,
        brokers: Sequence[tuple[str, int]],
        protocol: str,
        *,
        topics: Callable[[MQTTProtocolVersion], Topics],
        on_message: Callable[[Message], None],
        on_published: Callable[[int, bool], None] = lambda _mid, _is_accepted: None,
        on_change: Callable[[BrokerConnection | None], None] = lambda _connection: None,
    ) -> None:
        self._login = login
        self._brokers = brokers
        self._protocols = PROTOCOLS[protocol]
        self._topics = topics
        self._on_message = on_message
        self._on_published = on_published
        self._on_change = on_change
        self._proof_topic = f"{PROOF_TOPIC}/{login.client_id}"
        # Done when a message arrives while the session waits for its own.
        self._heard: asyncio.Future[None] | None = None
        self._heard_at = 0.0
        # Whether the broker delivers the session's messages to itself; None if not tried yet.
        self._delivers_proof: bool | None = None
        # Whether the last connection was open but nothing arrived.
        self._is_deaf = False
        self._lost_while_proving = 0
        self._is_told = False
        self._is_subscribed = False
        self.connection: BrokerConnection | None = None
        self.problem = "not connected yet"

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent and received."""
        connection = self.connection
        return connection is not None and connection.is_open and self._is_subscribed

    async def run(self) -> None:
        """Connects, and reconnects; runs until cancelled. Raises `BrokerRefusesError`."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            for host, port in self._brokers:
                connection = await self._try(host, port)
                if connection is None:
                    continue
                since = time.monotonic()
                try:
                    await self._stay(connection)
                except BrokerUnreachableError as error:
                    self.problem = f"{host}:{port}: {error}"
                else:
                    self.problem = f"the connection was lost: {connection.reason}"
                finally:
                    was_up = self._is_subscribed
                    self._leave(connection)
                log.warning("%s lost its broker: %s", self._login.client_id, self.problem)
                if not was_up:
                    continue
                if time.monotonic() - since > LONGEST_PAUSE_SECONDS:
                    pause = FIRST_PAUSE_SECONDS
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _try(self, host: str, port: int) -> BrokerConnection | None:
        for protocol in self._protocols:
            connection = BrokerConnection(
                self._login, protocol, on_message=self._received, on_published=self._on_published
            )
            try:
                # It may refuse the version.
                self._topics(protocol)
                await connection.open(host, port)
                # The broker sends at once what it kept for the session.
                self.connection = connection
                self._on_change(connection)
            except BrokerUnreachableError as error:
                problem = f"{host}:{port}: {error}"
                if problem != self.problem:
                    log.warning("Broker %s", problem)
                self.problem = problem
                self._leave(connection)
                if isinstance(error, UnsupportedProtocolError):
                    continue
                return None
            except BaseException:
                connection.close()
                raise
            if protocol == V5:
                # The broker speaks MQTT 5: a later hiccup must not be taken for a refusal.
                self._protocols = (V5,)
            log.info("%s is connected to %s:%d", self._login.client_id, host, port)
            return connection
        return None

    def _leave(self, connection: BrokerConnection) -> None:
        self.connection = None
        self._is_subscribed = False
        self._on_change(None)
        connection.close()

    async def _stay(self, connection: BrokerConnection) -> None:
        """Keeps the connection subscribed until it is lost; raises `BrokerUnreachableError`."""
        topics = self._topics(connection.protocol)
        if self._is_deaf:
            # amqtt would go on delivering to the session that it lost track of.
            await connection.unsubscribe([*topics.wanted, self._proof_topic])
        await self._subscribe(connection, topics)
        if not self._delivers_proof:
            # Some brokers close the connection over a forbidden topic: it is not tried again.
            self._delivers_proof = None if self._lost_while_proving < MAX_LOST else False
        await self._prove(connection, topics)
        self._is_subscribed = True
        while not connection.lost.done():
            await asyncio.wait({connection.lost}, timeout=LOOK_SECONDS)
            connection.keep_alive()
            if connection.lost.done():
                return
            last, topics = topics, self._topics(connection.protocol)
            if topics != last:
                await self._subscribe(connection, topics)
            # While reading is paused, silence proves nothing.
            elif time.monotonic() - self._heard_at > QUIET_SECONDS and not connection.is_paused:
                await self._prove(connection, topics)

    async def _subscribe(self, connection: BrokerConnection, topics: Topics) -> None:
        """Subscribes to the wanted topics, and only then unsubscribes from the unwanted ones."""
        await connection.subscribe(topics.wanted)
        if topics.unwanted:
            await connection.unsubscribe(topics.unwanted)
        log.info("%s is subscribed to %s", self._login.client_id, ", ".join(topics.wanted))

    async def _prove(self, connection: BrokerConnection, topics: Topics) -> None:
        """Checks that messages arrive; raises `BrokerUnreachableError` if they do not."""
        if (
            self._delivers_proof is not False
            and await connection.can_subscribe(self._proof_topic)
            and await self._hears_itself(connection)
        ):
            self._delivers_proof, self._is_deaf = True, False
            return
        if self._delivers_proof:
            self._is_deaf = True
            raise BrokerUnreachableError(
                f"it delivers nothing to {self._login.client_id}, although it is subscribed"
            )
        self._delivers_proof = False
        if not self._is_told:
            self._is_told = True
            log.warning(
                "The broker does not let %s write and read %s: it cannot be seen whether events "
                "arrive, only whether they are subscribed to",
                self._login.client_id,
                self._proof_topic,
            )
        await connection.subscribe(topics.wanted)
        self._heard_at = time.monotonic()

    async def _hears_itself(self, connection: BrokerConnection) -> bool:
        heard = self._heard = asyncio.get_running_loop().create_future()
        connection.publish_unconfirmed(self._proof_topic, b"")
        await asyncio.wait(
            {heard, connection.lost}, timeout=PROOF_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if connection.lost.done():
            if not self._delivers_proof:
                self._lost_while_proving += 1
            raise BrokerUnreachableError(connection.reason)
        return heard.done()

    def _received(self, message: Message) -> None:
        # Any message proves that messages arrive.
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)
        self._heard_at = time.monotonic()
        if message.topic == self._proof_topic:
            message.receipt.acknowledge()
        else:
            self._on_message(message)
