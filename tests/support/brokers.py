"""Brokers and clients for tests over MQTT."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pollux.runtime.broker import HOST, MOSQUITTO, EmbeddedBroker, find_mosquitto
from pollux.runtime.broker_access import BrokerClient, access_dir
from pollux.runtime.privacy import write_private
from pollux.runtime.settings import PROJECT_DIR, Settings
from services.events.broker.clients import APP, SERVICE
from tests.support.programs import free_port

WAIT_SECONDS = 60
MOSQUITTO_IS_MISSING = "Mosquitto is not installed (Debian: apt-get install mosquitto)"
# Who may do everything at the brokers of tests.
TESTER = ("tester", "known to all tests")
PASSWORDS = {TESTER[0]: TESTER[1], SERVICE: "service", APP: "app"}


def know_passwords(settings: Settings) -> None:
    """Gives an installation the passwords that all brokers of `make_broker` have."""
    access_dir(settings).mkdir(parents=True, exist_ok=True)
    write_private(access_dir(settings) / "passwords.json", json.dumps(PASSWORDS).encode())


def make_broker(folder: Path, program: str, *, port: int | None = None) -> EmbeddedBroker:
    """An installation's broker, open to `TESTER`; skips where the program is not installed."""
    if program == MOSQUITTO and find_mosquitto() is None:
        pytest.skip(MOSQUITTO_IS_MISSING)
    settings = Settings(data_dir=folder, broker_port=port or free_port())
    know_passwords(settings)
    clients = [BrokerClient(name, ["#"], ["#"]) for name in PASSWORDS]
    return EmbeddedBroker(settings, clients, program=program)


def write_deployed_rules(folder: Path, listener: str) -> Path:
    """Writes the files of deploy/mosquitto for a broker that runs in `folder`; returns its script.

    All but its places, listener and user is as it stands there.
    """
    for name in ("start.sh", "mosquitto.conf", "acl"):
        text = (PROJECT_DIR / "deploy" / "mosquitto" / name).read_text()
        for place in ("/mosquitto/config", "/mosquitto/data"):
            text = text.replace(place, str(folder))
        text = text.replace("/tmp/passwords", f"{folder}/passwords")
        text = text.replace("listener 1883", f"listener {listener}")
        if name == "mosquitto.conf" and os.geteuid() == 0:
            text += "user root\n"
        if name == "start.sh":
            text = "".join(line for line in text.splitlines(True) if not line.startswith("chown"))
        (folder / name).write_text(text)
    return folder / "start.sh"


class Inbox:
    """What a client received; `wait` waits for a number of messages, `wait_for` for one."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()

    def add(self, topic: str, payload: bytes) -> None:
        with self._changed:
            self.messages.append((topic, payload))
            self._changed.notify_all()

    def wait(self, count: int) -> list[bytes]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= count, timeout=WAIT_SECONDS)
            return [payload for _, payload in self.messages]

    def wait_for(self, payload: bytes) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: any(one == payload for _, one in self.messages), timeout=WAIT_SECONDS
            )


class LoginRefusedError(Exception):
    """A broker refuses a client."""


@contextmanager
def connected(
    port: int,
    name: str,
    *,
    topic: str | None = None,
    is_v5: bool = True,
    login: tuple[str | None, str | None] = TESTER,
    authority: Path | None = None,
) -> Iterator[tuple[Client, Inbox]]:
    """A client with a persistent session, subscribed to `topic` before this yields.

    Raises `LoginRefusedError`.
    """
    inbox, answered, codes = Inbox(), threading.Event(), list[ReasonCode]()

    def on_connect(_c: object, _u: object, _f: object, code: ReasonCode, _p: object) -> None:
        codes.append(code)
        answered.set()

    if is_v5:
        client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
    else:
        client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
    if login[0] is not None:
        client.username_pw_set(*login)
    if authority is not None:
        client.tls_set(ca_certs=authority)
    client.reconnect_delay_set(0.05, 0.5)
    client.on_connect = on_connect
    client.on_message = lambda _client, _data, message: inbox.add(message.topic, message.payload)
    if is_v5:
        stay = Properties(PacketTypes.CONNECT)
        stay.SessionExpiryInterval = 3600
        client.connect(HOST, port, clean_start=False, properties=stay)
    else:
        client.connect(HOST, port)
    client.loop_start()
    try:
        assert answered.wait(WAIT_SECONDS)
        if codes[0].is_failure:
            raise LoginRefusedError(codes[0])
        if topic is not None:
            subscribe(client, [topic])
        yield client, inbox
    finally:
        client.disconnect()
        client.loop_stop()


def subscribe(client: Client, topics: list[str]) -> None:
    """Asks for topics, granted or not; returns when the broker has answered."""
    answered = threading.Event()
    client.on_subscribe = lambda *_: answered.set()
    client.subscribe([(topic, 1) for topic in topics])
    assert answered.wait(WAIT_SECONDS)


def publish(client: Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publishes a message; returns when the broker has acknowledged it."""
    is_done = threading.Event()
    client.on_publish = lambda *_: is_done.set()
    # Where the connection was just lost, it is sent with the next.
    client.publish(topic, payload, qos=1, retain=retain)
    assert is_done.wait(WAIT_SECONDS)
