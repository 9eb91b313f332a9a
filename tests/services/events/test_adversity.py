"""What goes wrong around a worker: odd messages, brokers, scorers and databases."""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from pollux.runtime.broker import AMQTT
from pollux.runtime.broker_access import passwords_of
from pollux.runtime.locks import LockSpace
from pollux.runtime.serving import ServingStore
from services.events.broker import session
from services.events.broker.clients import SERVICE
from services.events.broker.connection import BrokerConnection
from tests.services.events import support as shops
from tests.services.events.conftest import Shop, decided, leave_behind
from tests.services.events.support import (
    NOW,
    TODAY,
    Client,
    Worker,
    best,
    who_gets,
    working,
)
from tests.support.brokers import TESTER
from tests.support.programs import free_port, wait_for

PREDICTION = "pollux/coupon-prediction"
CONNECT, PUBLISH_QOS1 = b"\x10", b"\x32"
USER_PROPERTY, FORMAT_INDICATOR = b"\x26", b"\x01"


def publish_raw(port: int, topic: bytes, payload: bytes, properties: bytes) -> None:
    """A message whose properties a client library would not write."""

    def text(content: bytes) -> bytes:
        return struct.pack("!H", len(content)) + content

    def packet(kind: bytes, body: bytes) -> bytes:
        assert len(body) < 16_384
        length = [len(body)] if len(body) < 128 else [len(body) % 128 | 128, len(body) // 128]
        return kind + bytes(length) + body

    with socket.create_connection(("127.0.0.1", port)) as sender:
        sender.settimeout(shops.SECONDS)
        user, password = (text(part.encode()) for part in TESTER)
        hello = text(b"MQTT") + b"\x05\xc2" + struct.pack("!H", 60) + b"\x00" + text(b"")
        hello += user + password
        sender.sendall(packet(CONNECT, hello))
        assert sender.recv(1000)[:1] == b"\x20"
        body = text(topic) + struct.pack("!H", 1) + bytes([len(properties)]) + properties + payload
        sender.sendall(packet(PUBLISH_QOS1, body))
        assert sender.recv(1000)[:1] == b"\x40"


@pytest.mark.parametrize(
    "properties",
    [
        # Legal, and refused by paho: U+FEFF in the sender's name of the event.
        USER_PROPERTY + b"\x00\x08event-id\x00\x05\xef\xbb\xbf17",
        # Not legal, and passed on by Mosquitto: the indicator is 0 or 1.
        FORMAT_INDICATOR + b"\x02",
    ],
)
def test_properties_that_paho_refuses_do_not_stop_the_flow(
    shop_v5: Shop, client: Client, properties: bytes
) -> None:
    customer = who_gets("Boys")
    event = b'{"id": "%d", "ts": %d, "dep": "Boys"}' % (customer, NOW)
    with working(shop_v5.settings, **shop_v5.environment()) as worker:
        publish_raw(shop_v5.port, f"{shop_v5.prefix}/focus".encode(), event, properties)
        client.send("pollux/focus", {"id": customer, "ts": NOW + 1, "dep": "Boys"})
        wait_for(lambda: len(client.on(PREDICTION)) == 2)
        assert "lost its broker" not in worker.text


def test_an_empty_event_id_is_none(shop_v5: Shop, client: Client) -> None:
    with working(shop_v5.settings, **shop_v5.environment()):
        for customer in (1, 2, 3):
            client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"}, " ")
        decided(shop_v5, 3)


@pytest.mark.parametrize(("before", "after"), [("0.2", "0.99"), ("0.99", "0.2")])
def test_the_threshold_holds_for_what_was_prepared_before(
    any_shop: Shop, client: Client, before: str, after: str
) -> None:
    customer = who_gets("Boys")
    with working(any_shop.settings, **any_shop.environment(POLLUX_COUPON_THRESHOLD=before)):
        client.send("pollux/entry", {"id": customer, "ts": NOW})
        decided(any_shop, 1)
    with working(any_shop.settings, **any_shop.environment(POLLUX_COUPON_THRESHOLD=after)):
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        decided(any_shop, 2)
    found = any_shop.rows("select coupon_id from events.decisions where kind = 'focus'")
    assert found == [(best(customer, "Boys", TODAY, threshold=float(after)),)]


def test_contexts_of_an_old_model_go_although_a_cold_event_saw_the_new_one_first(
    any_shop: Shop, client: Client
) -> None:
    contexts = "select model from events.contexts"
    with working(any_shop.settings, **any_shop.environment()):
        for round_ in range(5):
            model = f"m{round_}"
            any_shop.scorer.model = model
            client.send("pollux/focus", {"id": "2", "ts": NOW + round_, "dep": "Boys"})
            client.send("pollux/entry", {"id": "1", "ts": NOW + round_})
            wait_for(lambda model=model: any_shop.rows(contexts) == [(model,)])
            any_shop.scorer.model = f"{model}-next"
            # Cold, so that its answer tells of the model, often before the worker asks.
            client.send("pollux/focus", {"id": "3", "ts": NOW + round_, "dep": "Boys"})
            wait_for(lambda: any_shop.rows(contexts) == [])


def test_a_scorer_that_hangs_holds_nobody_up_for_long(shop_v5: Shop, client: Client) -> None:
    """Of hundreds of cold events none waits for its own turn to wait."""
    with working(shop_v5.settings, **shop_v5.environment()):
        shop_v5.scorer.is_hanging = True
        for number in range(300):
            client.send("pollux/focus", {"id": number % 12 + 1, "ts": NOW + number, "dep": "Boys"})
        # One after the other they would wait for minutes.
        wait_for(lambda: shop_v5.rows("select count(*) from events.decisions") == [(300,)], 90)
        reasons = shop_v5.rows("select distinct reason from events.decisions")
        assert reasons == [("the scorer did not answer",)]
        shop_v5.scorer.is_hanging = False
        customer = who_gets("Boys")
        wait_for(
            lambda: (
                client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"}, _new_id())
                or client.on(PREDICTION)
            )
        )


def _new_id() -> str:
    return str(time.monotonic_ns())


def test_a_broker_that_is_away_does_not_hold_up_a_takeover(shop_v5: Shop, client: Client) -> None:
    environment = shop_v5.environment(
        POLLUX_EVENTS_TAKEOVER_SECONDS="1",
        MQTT_HOST=f"127.0.0.1:{free_port()},127.0.0.1:{shop_v5.port}",
        MQTT_PORT="1",
        MQTT_USERNAME=TESTER[0],
        MQTT_PASSWORD=TESTER[1],
    )
    with working(shop_v5.settings, **environment) as first:
        second = shops.start_worker(shop_v5.settings, **environment)
        wait_for(lambda: shops.is_ready(second))
        for worker in (first, second):
            wait_for(lambda worker=worker: "$share/" in worker.text)
        leave_behind(second, client, 40)
        decided(shop_v5, 40)


def test_an_answer_longer_than_the_broker_takes_stays_and_the_others_go(new_shop: Shop) -> None:
    long, short = "Sport", "Boys"
    customer = next(
        c for c in shops.CUSTOMERS if best(c, short, TODAY) and best(c, long, TODAY) and c != 1
    )
    shops.release_store(new_shop.store, 2, _with_long_department(long))
    lines = ("allow_anonymous true", "max_packet_size 4000")
    with shops.broker(new_shop.folder / "broker", new_shop.port, *lines):
        client = new_shop.client()
        with working(new_shop.settings, **new_shop.environment()) as worker:
            client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": long})
            decided(new_shop, 1)
            client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": short})
            wait_for(lambda: client.on(PREDICTION))
            assert {one.document["coupon"]["department"] for one in client.heard} == {short}
            log = worker.text
            assert "is too long" in log
            assert "lost its broker" not in log
            unpublished = "select count(*) from events.outbox where published_at is null"
            wait_for(lambda: new_shop.rows(unpublished) == [(1,)])
        client.close()


def _with_long_department(name: str) -> list[tuple[object, ...]]:
    products = [301, 302] * 100
    return [(*coupon[:7], products if coupon[2] == name else coupon[7]) for coupon in shops.COUPONS]


def test_a_number_that_its_own_ghost_holds_is_waited_for(any_shop: Shop, client: Client) -> None:
    """The server may go on believing in a connection that the worker has lost."""
    leaders = "select pid from pg_stat_activity where application_name = 'pollux-events-leader'"
    with (
        working(any_shop.settings, **any_shop.environment()) as worker,
        psycopg.connect(any_shop.store.owner_url, autocommit=True) as ghost,
    ):
        ((pid,),) = any_shop.rows(leaders)
        locking = threading.Thread(
            target=ghost.execute, args=(f"select pg_advisory_lock({LockSpace.WORKERS}, 1)",)
        )
        locking.start()
        wait_for(lambda: any_shop.rows("select 1 from pg_locks where not granted"))
        any_shop.execute(f"select pg_terminate_backend({pid})")
        locking.join()
        time.sleep(3)
        worker.check()
        ghost.execute(f"select pg_advisory_unlock({LockSpace.WORKERS}, 1)")
        wait_for(lambda: any_shop.rows(leaders) not in ([], [(pid,)]))
        customer = who_gets("Boys")
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        wait_for(lambda: client.heard)
        worker.check()


def test_a_slow_statement_does_not_keep_the_others_from_their_turn(
    any_shop: Shop, client: Client
) -> None:
    """Answers are marked although the dead letters, on the same connection, are locked."""
    customer = who_gets("Boys")
    with (
        working(any_shop.settings, **any_shop.environment()),
        psycopg.connect(any_shop.store.owner_url) as other,
    ):
        other.execute("lock table events.dead_letter in access exclusive mode")
        # Longer than a statement may take.
        time.sleep(6)
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        published = "select 1 from events.outbox where published_at is not null"
        wait_for(lambda: any_shop.rows(published))


def test_resolved_dead_letters_are_forgotten_and_open_ones_are_not(any_shop: Shop) -> None:
    with working(any_shop.settings, **any_shop.environment()):
        pass
    any_shop.execute(
        "insert into events.dead_letter (event_key, kind, topic, payload, is_whole, reason, "
        "received_at, resolved_at) select gen_random_uuid(), 'focus', 't', '', true, 'r', "
        "now() - interval '40 days', case when n = 1 then now() - interval '31 days' end "
        "from generate_series(1, 2) as n"
    )
    with working(any_shop.settings, **any_shop.environment()):
        resolved = "select resolved_at from events.dead_letter"
        wait_for(lambda: any_shop.rows(resolved) == [(None,)])


def test_a_hiccup_is_no_reason_to_speak_mqtt_3(new_shop: Shop) -> None:
    """Who closes without a word need not mean the version: 3.1.1 would lose the event ids."""
    levels: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as hiccup:

        def close_at_once() -> None:
            while True:
                try:
                    caller, _ = hiccup.accept()
                except OSError:
                    return
                with caller:
                    # Header, length, name of the protocol, level.
                    levels.append(caller.recv(1000)[8])

        threading.Thread(target=close_at_once, daemon=True).start()
        environment = new_shop.environment(POLLUX_BROKER_PORT=str(hiccup.getsockname()[1]))
        with shops.starting(new_shop.settings, **environment) as worker:
            wait_for(lambda: len(levels) > 3)
            assert set(levels) == {5}
            wait_for(lambda: "MQTT_PROTOCOL=3.1.1" in worker.text)
            worker.check()


def test_before_the_first_release_events_are_taken_and_decided(
    new_shop: Shop, empty: ServingStore, start_broker: Callable[[str], int]
) -> None:
    """There is no schema of releases, and no role to read them; the broker keeps nothing back."""
    new_shop.port, new_shop.is_v5 = start_broker(AMQTT), False
    new_shop.store = empty
    assert empty.embedded is not None
    role = f"reader_{uuid4().hex}"
    database = empty.owner_url.rpartition("/")[2].partition("?")[0]
    environment = new_shop.environment(
        POLLUX_DATABASE_URL=empty.owner_url,
        POLLUX_READER_URL=empty.embedded.url(user=role, database=database),
    )
    client = new_shop.client()
    customer = who_gets("Boys")
    try:
        with working(new_shop.settings, **environment) as worker:
            assert worker.get("/readyz").json()["release"] is None
            client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
            client.send("pollux/entry", {"id": customer, "ts": NOW})
            client.send("pollux/conversion", b"Hoodie, ClickConversion, a@x.y, Web")
            decided(new_shop, 2)
            rows = new_shop.rows("select outcome, reason from events.decisions")
            assert rows == [("no offer", "no release of the store")] * 2
            wait_for(lambda: client.on("pollux/promo-code-line"))
            # Who is released later is found without a restart.
            shops.release_store(replace(empty, reader_role=role), 1)
            wait_for(lambda: worker.get("/readyz").json()["release"] == 1)
            client.send("pollux/focus", {"id": customer, "ts": NOW + 1, "dep": "Boys"})
            wait_for(lambda: client.on(PREDICTION))
    finally:
        client.close()
        with empty.connect(autocommit=True) as connection:
            connection.execute(f"drop owned by {role}")
            connection.execute(f"drop role {role}")


@pytest.mark.parametrize("clean", [True, False])
def test_another_client_with_the_same_id_does_not_stop_the_flow(
    shop: Shop, client: Client, monkeypatch: pytest.MonkeyPatch, clean: bool
) -> None:
    """It takes the session over and leaves; some brokers then deliver nothing to the first."""
    monkeypatch.setattr(session, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(session, "PROOF_SECONDS", 1.0)
    customer = who_gets("Boys")
    ((identity,),) = shop.rows("select left(replace(id::text, '-', ''), 8) from events.identity")
    with working(shop.settings, **shop.environment()) as worker:
        for role in ("shop1", "club"):
            other = PahoClient(
                CallbackAPIVersion.VERSION2,
                f"pollux{identity}{role}",
                clean_session=clean,
                protocol=MQTTProtocolVersion.MQTTv311,
            )
            # At amqtt nobody else can take a session.
            other.username_pw_set(SERVICE, passwords_of(shop.settings, [SERVICE])[SERVICE])
            other.connect("127.0.0.1", shop.port)
            other.loop_start()
            wait_for(other.is_connected)
            other.disconnect()
            other.loop_stop()
        wait_for(lambda: "lost its broker" in worker.text)
        wait_for(lambda: shops.is_ready(worker))
        for number in itertools.count():
            # What comes while nothing is subscribed to is the broker's to lose.
            client.send("pollux/focus", {"id": customer, "ts": NOW + number, "dep": "Boys"})
            client.send("pollux/conversion", b"Hoodie, ClickConversion, %d@x.y, Web" % number)
            if client.on(PREDICTION) and client.on("pollux/promo-code-line"):
                break
            time.sleep(0.05)
            assert number < 400
        assert shops.is_ready(worker)


def test_readiness_says_that_nothing_can_arrive(
    any_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is open, and nothing is delivered: as with a session that was forgotten."""
    monkeypatch.setattr(session, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(session, "PROOF_SECONDS", 0.2)
    with working(any_shop.settings, **any_shop.environment()) as worker:
        monkeypatch.setattr(BrokerConnection, "publish_unconfirmed", lambda *_: None)
        answer = wait_for(lambda: _not_ready(worker, "it delivers nothing"))
        assert answer["status"] == 503
        assert answer["detail"].startswith("Events cannot arrive from the broker (127.0.0.1:")
        monkeypatch.undo()
        wait_for(lambda: shops.is_ready(worker))


def _not_ready(worker: Worker, why: str) -> dict[str, Any] | None:
    document = worker.get("/readyz").json()
    return document if why in document.get("detail", "") else None
