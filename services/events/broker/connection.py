"""One connection to one broker, on asyncio.

Belongs here: paho's client driven by the event loop, acknowledgements in order of arrival, what a
refusal means. Does not belong here: what a message says, and when to connect again.

Every connection has a client of its own, so that nothing from an older one, such as packet numbers,
is mixed up with it. The broker keeps the session, which outlives both.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pollux.runtime.errors import PolluxError
from services.events.broker.packets import Delivery, pack_properties, puback_packet, publish_packet
from services.events.broker.paho_patch import patch_paho
from services.events.broker.quick_client import QuickClient

patch_paho()

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 30
# How many unacknowledged messages the broker may send.
RECEIVE_MAXIMUM = 500
SESSION_SECONDS = 7 * 24 * 3600
# Messages in hand beyond which nothing more is read (QoS 0 has no other flow control).
MAX_IN_HAND = 4 * RECEIVE_MAXIMUM
# Reason codes of MQTT 5; paho translates those of 3.1.1.
UNSUPPORTED_VERSION = 132
CREDENTIALS = (134, 135, 138, 140)
FAILED = 128
SESSION_TAKEN_OVER = 142
# Bytes of a message besides topic and payload: header, packet number, properties.
OVERHEAD = 100

EVENT_ID = "event-id"
ANSWER_ID = "answer-id"
# paho's name of it.
CORRELATION_DATA = "CorrelationData"
# Falling back by itself after a mere hiccup would lose event ids.
SILENT_REFUSAL = "it closed the connection (if it speaks MQTT 3.1.1 only: MQTT_PROTOCOL=3.1.1)"

log = logging.getLogger("pollux.events")


class BrokerRefusesError(PolluxError):
    """A broker refuses the credentials or a topic: trying again would not help."""

    exit_code = 3


class BrokerUnreachableError(Exception):
    """A broker cannot be reached, or does not answer as one."""


class TooLongError(Exception):
    """A message is longer than the broker accepts."""


class UnsupportedProtocolError(BrokerUnreachableError):
    """A broker does not speak the version of MQTT that was tried."""


@dataclass(frozen=True)
class Login:
    """How a client identifies itself to a broker."""

    client_id: str
    username: str | None = None
    password: str | None = None
    certificates: str | None = None
    # Where name and password come from, in words.
    source: str = "MQTT_USERNAME and MQTT_PASSWORD"


class Receipt:
    """Acknowledges one message; the broker gets acknowledgements in order of arrival."""

    __slots__ = ("_connection", "is_acknowledged", "mid")

    def __init__(self, connection: "BrokerConnection", mid: int | None) -> None:
        self._connection = connection
        # The number of its packet; None if the broker expects no acknowledgement (QoS 0).
        self.mid = mid
        self.is_acknowledged = False

    def acknowledge(self) -> None:
        """Marks the message as done; the broker is told once all before it are done."""
        self.is_acknowledged = True
        self._connection.send_acknowledgements()


@dataclass(frozen=True, slots=True)
class Message:
    """A message that arrived; `event_id` is the sender's, or None.

    `response_topic` and `correlation_data` are those of MQTT 5, as they came.
    """

    topic: str
    payload: bytes
    event_id: str | None
    receipt: Receipt
    response_topic: str | None = None
    correlation_data: bytes | None = None


class BrokerConnection:
    """One connection to a broker, from its opening to its loss; it cannot be opened again."""

    def __init__(
        self,
        login: Login,
        protocol: MQTTProtocolVersion,
        *,
        on_message: Callable[[Message], None],
        on_published: Callable[[int, bool], None] = lambda _mid, _is_accepted: None,
    ) -> None:
        self.protocol = protocol
        self._is_v5 = protocol == V5
        # The broker's limits: messages that it has not acknowledged, and bytes of each.
        self.receive_maximum = 65_535
        self.maximum_packet_size: int | None = None
        self.reason = "it closed the connection"
        # Whether reading is paused because too many messages are in hand.
        self.is_paused = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_published = on_published
        self._connected: asyncio.Future[None] = self._loop.create_future()
        # Retrieves its error even if nobody waits for it any more.
        self._connected.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._subscribed: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._receipts: deque[Receipt] = deque()
        # Numbers of messages that the broker has not acknowledged.
        self._under_way: set[int] = set()
        self._socket: socket.socket | None = None
        self._is_waiting_to_write = False
        self._client_id = login.client_id
        self._source = login.source
        self._client = self._make_client(login)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._socket is not None and self._connected.done() and not self.lost.done()

    async def open(self, host: str, port: int) -> None:
        """Connects; raises `BrokerRefusesError` or `BrokerUnreachableError`."""
        try:
            # Name lookup and handshake block; nothing else uses the client yet.
            await asyncio.to_thread(self._connect, host, port)
        except (OSError, ValueError) as error:
            raise BrokerUnreachableError(in_words(error)) from error
        found = cast("socket.socket | None", self._client.socket())
        if found is None:
            raise BrokerUnreachableError("the connection was closed")
        self._socket = found
        # Small packets must not wait for one another.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.on_socket_register_write = self._want_write
        self._client.on_socket_unregister_write = self._wrote
        self._client.on_socket_close = self._closed
        self._loop.add_reader(found, self._read)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connected
        except TimeoutError:
            self.close()
            raise BrokerUnreachableError("it did not answer in time") from None
        except BaseException:
            self.close()
            raise

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribes with QoS 1; raises `BrokerRefusesError` or `BrokerUnreachableError`."""
        for topic, code in zip(topics, await self._subscribe(topics, qos=1), strict=True):
            if code.is_failure:
                raise BrokerRefusesError(
                    f"The broker refuses to let {self._client_id} subscribe to {topic} ({code}): "
                    "its access control must allow it."
                )
            if code.value == 0:
                log.warning(
                    "The broker grants no more than QoS 0 on %s: what comes while the service is "
                    "away is lost",
                    topic,
                )

    async def can_subscribe(self, topic: str) -> bool:
        """Subscribes with QoS 0; returns whether it may. Raises `BrokerUnreachableError`."""
        (code,) = await self._subscribe([topic], qos=0)
        return not code.is_failure

    async def _subscribe(self, topics: Sequence[str], *, qos: int) -> list[ReasonCode]:
        _, mid = self._client.subscribe([(topic, qos) for topic in topics])
        return await self._answer_to(mid)

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Ends subscriptions of the session; raises `BrokerUnreachableError`."""
        _, mid = self._client.unsubscribe(list(topics))
        await self._answer_to(mid)

    async def _answer_to(self, mid: int | None) -> list[ReasonCode]:
        """The broker's answer to a request to subscribe or unsubscribe."""
        if mid is None:
            raise BrokerUnreachableError("the connection was lost")
        answer = self._subscribed[mid] = self._loop.create_future()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                codes: list[ReasonCode] = await answer
        except TimeoutError:
            raise BrokerUnreachableError("it did not answer a subscription") from None
        return codes

    def publish(
        self,
        topic: str,
        payload: bytes,
        properties: Mapping[str, str],
        correlation_data: bytes | None = None,
        *,
        is_retained: bool = False,
    ) -> int | None:
        """Sends a message with QoS 1; returns its packet number, or None if it cannot be sent.

        The broker keeps a retained one for those who subscribe later, in place of the one before.
        Raises `TooLongError` if it is longer than the broker accepts.
        """
        if self.maximum_packet_size is not None:
            echoed = len(properties.get(EVENT_ID, "").encode()) + len(correlation_data or b"")
            size = len(payload) + len(topic.encode()) + echoed + OVERHEAD
            if size > self.maximum_packet_size:
                raise TooLongError(f"{size} bytes; the broker takes {self.maximum_packet_size}")
        if self._socket is None:
            return None
        mid = self._client.next_mid()
        if mid in self._under_way:
            return None
        packed = pack_properties(properties.items(), correlation_data) if self._is_v5 else b""
        packet = publish_packet(topic.encode(), mid, payload, packed, is_retained=is_retained)
        self._under_way.add(mid)
        self._client.send(packet)
        return mid

    def publish_unconfirmed(self, topic: str, payload: bytes) -> None:
        """Sends a message with QoS 0: it may be lost."""
        self._client.publish(topic, payload, qos=0)

    def send_acknowledgements(self) -> None:
        """Acknowledges messages that are done, in order of arrival, as MQTT requires."""
        receipts = self._receipts
        while receipts and receipts[0].is_acknowledged:
            receipt = receipts.popleft()
            if receipt.mid is not None and not self.lost.done():
                self._client.send(puback_packet(receipt.mid))
        if self.is_paused and len(receipts) < MAX_IN_HAND // 2 and self._socket is not None:
            self.is_paused = False
            self._loop.add_reader(self._socket, self._read)

    def keep_alive(self) -> None:
        """Pings the broker when that is due; call it every few seconds."""
        self._client.loop_misc()

    @property
    def has_receipts(self) -> bool:
        """Whether any message in hand is not acknowledged."""
        return bool(self._receipts)

    def close(self, *, ends_session: bool = False) -> None:
        """Disconnects; the broker keeps the session unless `ends_session`."""
        if self._socket is not None:
            properties = None
            if ends_session:
                properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = 0
            self._client.disconnect(properties=properties)
            # Sent at once: the event loop no longer watches the socket.
            self._client.loop_write()
        self._end()

    def _make_client(self, login: Login) -> QuickClient:
        client = QuickClient(
            CallbackAPIVersion.VERSION2,
            on_delivery=self._delivered,
            on_acknowledged=self._acknowledged,
            client_id=login.client_id,
            protocol=self.protocol,
            # For MQTT 5, it is said when connecting.
            clean_session=None if self._is_v5 else False,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_SECONDS
        if login.username is not None:
            client.username_pw_set(login.username, login.password)
        if login.certificates is not None:
            try:
                client.tls_set(ca_certs=login.certificates)
            except OSError as error:
                raise BrokerRefusesError(
                    f"MQTT_BROKER_CERT_FILE {login.certificates} cannot be used: {in_words(error)}."
                ) from error
        client.on_connect = self._answered
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._answered_subscription
        client.on_unsubscribe = self._answered_subscription
        client.on_message = self._received
        return client

    def _connect(self, host: str, port: int) -> None:
        if self.protocol != V5:
            self._client.connect(host, port, KEEPALIVE_SECONDS)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_SECONDS
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        # A clean start would drop what came while the client was away.
        self._client.connect(
            host, port, KEEPALIVE_SECONDS, clean_start=False, properties=properties
        )

    def _read(self) -> None:
        self._client.loop_read()
        found = self._socket
        # Data that TLS has already decrypted does not make the socket readable.
        while found is not None and found is self._socket and getattr(found, "pending", int)():
            self._client.loop_read()
        if len(self._receipts) > MAX_IN_HAND and self._socket is not None:
            self.is_paused = True
            self._loop.remove_reader(self._socket)

    def _want_write(self, *_: object) -> None:
        self._loop.call_soon(self._write)

    def _write(self) -> None:
        if self._socket is None:
            return
        self._client.loop_write()
        if self._client.want_write() and self._socket is not None:
            # The broker is slow: the rest is sent when there is room.
            self._is_waiting_to_write = True
            self._loop.add_writer(self._socket, self._write)

    def _wrote(self, *_: object) -> None:
        if self._is_waiting_to_write and self._socket is not None:
            self._is_waiting_to_write = False
            self._loop.remove_writer(self._socket)

    def _answered(
        self, _client: Client, _userdata: object, _flags: object, code: ReasonCode, limits: object
    ) -> None:
        if self._connected.done():
            return
        if not code.is_failure:
            self.receive_maximum = getattr(limits, "ReceiveMaximum", self.receive_maximum)
            self.maximum_packet_size = getattr(limits, "MaximumPacketSize", None)
            self._connected.set_result(None)
        elif code.value == UNSUPPORTED_VERSION:
            self._connected.set_exception(UnsupportedProtocolError(str(code)))
        elif code.value in CREDENTIALS:
            self._connected.set_exception(
                BrokerRefusesError(
                    f"The broker refuses the credentials ({code}): check {self._source}."
                )
            )
        else:
            self._connected.set_exception(BrokerUnreachableError(f"it answered: {code}"))

    def _answered_subscription(
        self, _client: Client, _userdata: object, mid: int, codes: list[ReasonCode], _more: object
    ) -> None:
        answer = self._subscribed.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    def _acknowledged(self, mid: int, code: int) -> None:
        self._under_way.discard(mid)
        self._on_published(mid, code < FAILED)

    def _delivered(self, delivery: Delivery) -> None:
        topic, mid, payload, pairs, response_topic, correlation_data = delivery
        receipt = Receipt(self, mid)
        self._receipts.append(receipt)
        # With empty ids, all messages would be the same event.
        event_id = next(
            (value for name, value in pairs if name == EVENT_ID and value.strip()), None
        )
        self._on_message(
            Message(topic, payload, event_id, receipt, response_topic, correlation_data)
        )

    def _received(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        properties: Any = message.properties
        self._delivered(
            Delivery(
                message.topic,
                message.mid if message.qos else None,
                bytes(message.payload),
                getattr(properties, "UserProperty", None) or [],
                getattr(properties, "ResponseTopic", None),
                getattr(properties, CORRELATION_DATA, None),
            )
        )

    def _disconnected(
        self, _client: Client, _userdata: object, _flags: object, code: ReasonCode, _more: object
    ) -> None:
        self.reason = str(code)
        if code.value == SESSION_TAKEN_OVER:
            self.reason = f"another client connected under the id {self._client_id}"
        self._end()

    def _closed(self, *_: object) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None

    def _end(self) -> None:
        self._closed()
        self._receipts.clear()
        if not self._connected.done():
            self._connected.set_exception(BrokerUnreachableError(SILENT_REFUSAL))
        for answer in self._subscribed.values():
            if not answer.done():
                answer.set_exception(BrokerUnreachableError("it closed the connection"))
        if not self.lost.done():
            self.lost.set_result(None)


def in_words(error: BaseException) -> str:
    """Why a connection cannot be opened."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
