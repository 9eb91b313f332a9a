"""The installation's broker: what it keeps while a worker, or the broker itself, is away."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from pollux.runtime.broker import AMQTT, HOST, MOSQUITTO, BrokerError, answers
from tests.support.brokers import TESTER, connected, make_broker, publish

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("program", [MOSQUITTO, AMQTT])
def test_keeps_messages_for_a_worker_that_is_away(tmp_path: Path, program: str) -> None:
    broker = make_broker(tmp_path / "a b", program)
    is_v5 = program == MOSQUITTO
    with broker.running():
        with connected(broker.port, "worker", topic="shop/focus", is_v5=is_v5):
            pass
        with connected(broker.port, "shop", is_v5=is_v5) as (shop, _):
            publish(shop, "shop/focus", b"one")
            publish(shop, "shop/focus", b"two")
            publish(shop, "shop/other", b"not asked for")
        with connected(broker.port, "worker", is_v5=is_v5) as (_, inbox):
            assert inbox.wait(2) == [b"one", b"two"]
    assert not answers(HOST, broker.port)


def test_amqtt_refuses_mqtt_5_at_once(tmp_path: Path) -> None:
    broker = make_broker(tmp_path, AMQTT)
    properties = bytes.fromhex("08 1100093a80 2101f4")
    with broker.running(), socket.create_connection((HOST, broker.port)) as client:
        client.settimeout(2)
        client.sendall(bytes.fromhex("1018 0004 4d515454 05 00 003c") + properties)
        client.sendall(bytes.fromhex("0003 616263"))
        # Return code 1 of MQTT 3.1.1: unacceptable protocol version.
        assert client.recv(10) == bytes.fromhex("2002 0001")
        assert client.recv(10) == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_mosquitto_keeps_messages_over_its_own_end(tmp_path: Path, number: int) -> None:
    broker = make_broker(tmp_path, MOSQUITTO)
    saved = tmp_path / "broker" / "mosquitto.db"
    with broker.running() as process:
        with connected(broker.port, "worker", topic="shop/#"):
            pass
        with connected(broker.port, "shop") as (shop, _):
            publish(shop, "shop/focus", b"kept")
            publish(shop, "shop/day", b"retained", retain=True)
        published = time.time()
        # Written once a second: a file begun after the messages holds them.
        deadline = published + 10
        while not (saved.exists() and saved.stat().st_mtime > published + 1):
            assert time.time() < deadline, "nothing was written"
            time.sleep(0.05)
        os.kill(process.pid, number)
        process.wait(timeout=120)
    with broker.running():
        with connected(broker.port, "worker") as (_, inbox):
            assert sorted(inbox.wait(2)) == [b"kept", b"retained"]
        with connected(broker.port, "other", topic="shop/day") as (_, inbox):
            assert inbox.wait(1) == [b"retained"]


@pytest.mark.parametrize("program", [MOSQUITTO, AMQTT])
def test_port_in_use_is_said(tmp_path: Path, program: str) -> None:
    broker = make_broker(tmp_path, program)
    with socket.socket() as other:
        other.bind((HOST, broker.port))
        other.listen()
        with pytest.raises(BrokerError, match=f"Port {broker.port} is in use.*POLLUX_BROKER_PORT"):
            broker.start()


def test_broker_that_ends_at_once_says_why(tmp_path: Path) -> None:
    broker = make_broker(tmp_path, MOSQUITTO)
    saved = tmp_path / "broker" / "mosquitto.db"
    saved.parent.mkdir(parents=True)
    saved.write_bytes(b"no database of Mosquitto's")
    with pytest.raises(BrokerError, match=r"(?s)did not come up.*mosquitto\.db|persisten"):
        broker.start()


def test_message_above_a_mebibyte_ends_its_sender_only(tmp_path: Path) -> None:
    broker = make_broker(tmp_path, MOSQUITTO)
    with broker.running(), connected(broker.port, "worker", topic="shop/focus") as (_, inbox):
        with socket.create_connection((HOST, broker.port)) as sender:
            user, password = (len(part).to_bytes(2, "big") + part.encode() for part in TESTER)
            hello = bytes.fromhex("0004 4d515454 04 c2 003c 0001 61") + user + password
            sender.sendall(b"\x10" + bytes([len(hello)]) + hello)
            assert sender.recv(4) == bytes.fromhex("2002 0000")
            # A PUBLISH that announces two MiB.
            sender.sendall(bytes.fromhex("30 80808001"))
            sender.settimeout(10)
            assert sender.recv(1) == b""
        with connected(broker.port, "shop") as (shop, _):
            publish(shop, "shop/focus", b"small")
        assert inbox.wait(1) == [b"small"]
