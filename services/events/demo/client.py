"""The demo's broker client: publishes events, collects predictions, leaves no session behind.

The event service's own sessions, which lose nothing, are in `services.events.broker`.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings
from services.events.broker.clients import APP, login_of
from services.events.broker.connection import CONNECT_SECONDS, EVENT_ID, V5, in_words
from services.events.broker.session import PROTOCOLS
from services.events.database.event_keys import event_key
from services.events.settings import MqttSettings


class NoBrokerError(PolluxError):
    """No broker accepts the client."""

    exit_code = 3


class Question(NamedTuple):
    """What a prediction is the answer to."""

    customer_id: str
    department: str
    ts: int


class ReceivedCoupon(NamedTuple):
    """A coupon with its products, and when it arrived (`time.perf_counter`)."""

    coupon: Mapping[str, Any]
    arrived: float


class DemoClient:
    """A connected client; `coupons` are all that arrived since it connected."""

    def __init__(self, settings: Settings, mqtt: MqttSettings) -> None:
        self.coupons: dict[Question, ReceivedCoupon] = {}
        self._mqtt = mqtt
        self._arrived = threading.Condition()
        self._is_v5 = False
        self._login = login_of(settings, mqtt, APP, f"pollux-demo-{uuid4()}")
        self._client = self._enter(mqtt.brokers(settings.broker_port))

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Disconnects at the end of the block."""
        try:
            yield
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def publish(self, topic: str, document: Mapping[str, Any]) -> tuple[UUID, float]:
        """Publishes an event; returns its key and when that was (`time.perf_counter`)."""
        payload = json.dumps(document).encode()
        event_id, properties = None, None
        if self._is_v5:
            # The same customer may be at the same place in the same second again.
            event_id = f"demo-{uuid4()}"
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = [(EVENT_ID, event_id)]
        began = time.perf_counter()
        self._client.publish(topic, payload, qos=1, properties=properties)
        return event_key(topic, payload, event_id), began

    def wait(self, question: Question | None, seconds: float) -> ReceivedCoupon | None:
        """The answer to a question as soon as it arrives; None if it does not in `seconds`."""
        with self._arrived:
            self._arrived.wait_for(lambda: question in self.coupons, seconds)
            return None if question is None else self.coupons.get(question)

    def _received(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        arrived = time.perf_counter()
        try:
            answer = json.loads(message.payload)
            coupon = answer["coupon"]
            question = Question(answer["customer"]["id"], coupon["department"], answer["ts"])
        except (ValueError, KeyError, TypeError):
            return
        with self._arrived:
            self.coupons.setdefault(question, ReceivedCoupon(coupon, arrived))
            self._arrived.notify_all()

    def _enter(self, brokers: Sequence[tuple[str, int]]) -> Client:
        problem = ""
        for host, port in brokers:
            for protocol in PROTOCOLS[self._mqtt.mqtt_protocol]:
                client, problem = self._try(host, port, protocol)
                if client is not None:
                    self._is_v5 = protocol == V5
                    return client
        where = ", ".join(f"{host}:{port}" for host, port in brokers)
        hint = "" if self._mqtt.mqtt_host else " pollux up runs a broker: is it up?"
        raise NoBrokerError(f"No broker accepts the demo at {where} ({problem}).{hint}")

    def _try(
        self, host: str, port: int, protocol: MQTTProtocolVersion
    ) -> tuple[Client | None, str]:
        login = self._login
        client = Client(CallbackAPIVersion.VERSION2, login.client_id, protocol=protocol)
        is_settled, codes = threading.Event(), list[ReasonCode]()

        def connected(_c: Client, _u: object, _f: object, code: ReasonCode, _p: object) -> None:
            codes.append(code)
            if code.is_failure:
                is_settled.set()
                return
            # Small packets must not wait for one another.
            found = cast("socket.socket", client.socket())
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.subscribe(self._mqtt.coupon_prediction_topic_name, qos=1)

        client.on_connect = connected
        client.on_subscribe = lambda *_: is_settled.set()
        client.on_disconnect = lambda *_: is_settled.set()
        client.on_message = self._received
        client.connect_timeout = CONNECT_SECONDS
        try:
            if login.username is not None:
                client.username_pw_set(login.username, login.password)
            if login.certificates is not None:
                client.tls_set(ca_certs=login.certificates)
            client.connect(host, port)
        except (OSError, ValueError) as error:
            return None, in_words(error)
        client.loop_start()
        is_settled.wait(CONNECT_SECONDS)
        if client.is_connected() and codes and not codes[-1].is_failure:
            return client, ""
        client.disconnect()
        client.loop_stop()
        return None, str(codes[-1]) if codes else "it does not answer"
