"""Messages that wait at the own broker for a client who is away: told of, and taken out."""

from pathlib import Path

import pytest

from orchestration.erase.run import ErasureError, erase, finish, look
from pollux.runtime.broker import MOSQUITTO
from pollux.runtime.broker_store import read_payloads, store_of
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from tests.support.brokers import connected, make_broker, publish

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

RITA, CUSTOMER = Subject("member", "rita@canary.example"), Subject("customer", "7000001")
# The first begins with the email: neither the topic nor the length before it hides it.
MESSAGES = [b"Rita@canary.example,fb,insta,F", b"carita@canary.example,fb,insta,F", b"{}"]
OF_CUSTOMER = [
    b'{"customer_id": 7000001}',
    b'{"id": "7000001", "ts": 1760000000, "dep": "Boys"}',
    b'{"customer":{"id":"7000001"},"coupon":{"id":"1"},"ts":1760000000}',
]


def test_an_erasure_waits_for_messages_that_wait(short_tmp: Path) -> None:
    folder = short_tmp / "waiting"
    broker = make_broker(folder, MOSQUITTO)
    settings = Settings(data_dir=folder, database_url=None)
    with broker.running():
        with connected(broker.port, "away", topic="club/#"):
            pass
        with connected(broker.port, "sensor") as (client, _):
            for payload in (*MESSAGES, *OF_CUSTOMER):
                publish(client, "club/members", payload)
        # Mosquitto writes its store once a second.
        while len(list(read_payloads(store_of(settings)))) < len([*MESSAGES, *OF_CUSTOMER]):
            pass
        with pytest.raises(ErasureError) as raised:
            erase(settings, RITA)
        assert str(raised.value) == (
            "Messages in broker/mosquitto.db wait for a client who is away. They go when it "
            "fetches them; or stop the broker with pollux down, and let pollux erasures --finish "
            "take them out."
        )
    assert len(finish(settings)) == 1
    assert erase(settings, CUSTOMER).record["rows"] == {"broker: messages": 3}
    for subject in (RITA, CUSTOMER):
        assert look(settings, subject).places == []
    assert b"Rita" not in store_of(settings).read_bytes()
    with broker.running(), connected(broker.port, "away", topic="club/#") as (_, inbox):
        assert inbox.wait(2) == MESSAGES[1:]
    EmbeddedPostgres(folder).stop()
