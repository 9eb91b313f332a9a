"""Messages are taken out of the own broker's store, and all others are delivered as before."""

from pathlib import Path

import pytest

from pollux.runtime.broker import MOSQUITTO, is_running
from pollux.runtime.broker_store import drop_messages, read_payloads, store_of
from pollux.runtime.settings import Settings
from tests.support.brokers import connected, make_broker, publish

pytestmark = pytest.mark.integration

WAITING = [b"one", b'{"email":"erika@canary.example"}', b"", b"three", b"x" * 300_000]
RETAINED = [b"kept", b"kept about erika"]


def test_only_what_is_dropped_is_not_delivered(short_tmp: Path) -> None:
    broker = make_broker(short_tmp / "store", MOSQUITTO)
    settings = Settings(data_dir=short_tmp / "store")
    store = store_of(settings)
    assert list(read_payloads(store)) == []
    assert drop_messages(store, lambda _: True) == 0
    with broker.running():
        assert is_running(settings)
        with connected(broker.port, "away", topic="shop/#"):
            pass
        with connected(broker.port, "sensor") as (client, _):
            for payload in WAITING:
                publish(client, "shop/erika", payload)
            for number, payload in enumerate(RETAINED):
                publish(client, f"kept/{number}", payload, retain=True)
    assert not is_running(settings)
    assert sorted(read_payloads(store)) == sorted(WAITING + RETAINED)
    assert drop_messages(store, lambda payload: b"erika" in payload) == 2
    assert b"erika@" not in store.read_bytes()
    left = [payload for payload in WAITING if b"erika" not in payload]
    with broker.running():
        with connected(broker.port, "away", topic="shop/#") as (_, inbox):
            assert inbox.wait(len(left)) == left
        with connected(broker.port, "late", topic="kept/#") as (_, inbox):
            assert inbox.wait(1) == RETAINED[:1]
    assert "rror" not in broker.log.read_text()


@pytest.mark.parametrize("content", [b"", b"not a store of Mosquitto, but something else\n"])
def test_another_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store").write_bytes(content)
    assert list(read_payloads(tmp_path / "store")) == []
    assert drop_messages(tmp_path / "store", lambda _: True) == 0
    assert (tmp_path / "store").read_bytes() == content
