"""Brokers and clients for tests over MQTT."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from pollux.runtime.broker import HOST, MOSQUITTO, EmbeddedBroker, find_mosquitto
from pollux.runtime.settings import Settings

WAIT_SECONDS = 60
MOSQUITTO_IS_MISSING = "Mosquitto is not installed (Debian: apt-get install mosquitto)"


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def make_broker(folder: Path, program: str) -> EmbeddedBroker:
    """An installation's broker; skips where the program is not installed."""
    if program == MOSQUITTO and find_mosquitto() is None:
        pytest.skip(MOSQUITTO_IS_MISSING)
    settings = Settings(data_dir=folder, broker_port=free_port())
    return EmbeddedBroker(settings, program=program)


class Inbox:
    """What a client received; `wait` waits for a number of messages."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()

    def add(self, topic: str, payload: bytes) -> None:
        with self._changed:
            self.messages.append((topic, payload))
            self._changed.notify_all()

    def wait(self, count: int) -> list[bytes]:
        with self._changed:
            self._changed.wait_for(lambda: len(self.messages) >= count, timeout=WAIT_SECONDS)
            return [payload for _, payload in self.messages]


@contextmanager
def connected(
    port: int, name: str, *, topic: str | None = None, is_v5: bool = True
) -> Iterator[tuple[Client, Inbox]]:
    """A client with a persistent session, subscribed to `topic` before this yields."""
    inbox, is_there, is_subscribed = Inbox(), threading.Event(), threading.Event()
    if is_v5:
        client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
    else:
        client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
    client.on_connect = lambda *_: is_there.set()
    client.on_subscribe = lambda *_: is_subscribed.set()
    client.on_message = lambda _client, _data, message: inbox.add(message.topic, message.payload)
    if is_v5:
        stay = Properties(PacketTypes.CONNECT)
        stay.SessionExpiryInterval = 3600
        client.connect(HOST, port, clean_start=False, properties=stay)
    else:
        client.connect(HOST, port)
    client.loop_start()
    try:
        assert is_there.wait(WAIT_SECONDS)
        if topic is not None:
            client.subscribe(topic, qos=1)
            assert is_subscribed.wait(WAIT_SECONDS)
        yield client, inbox
    finally:
        client.disconnect()
        client.loop_stop()


def publish(client: Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publishes a message; returns when the broker has acknowledged it."""
    sent = client.publish(topic, payload, qos=1, retain=retain)
    sent.wait_for_publish(WAIT_SECONDS)
    assert sent.is_published()
