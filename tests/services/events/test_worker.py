"""The event service over a real broker and database: what it answers, what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pollux.runtime.broker import AMQTT
from tests.services.events import support as shops
from tests.services.events.conftest import TOPICS, Shop, decided, leave_behind
from tests.services.events.support import (
    NOW,
    TODAY,
    Client,
    Worker,
    best,
    who_gets,
    working,
)
from tests.support.programs import free_port, wait_for
from tests.support.servers import make_certificate

PUBLISHED = "select 1 from events.outbox where published_at is not null"
LEFT = (
    '{"customer":{"id":"1"},"coupon":null,"ts":1,',
    '"department":"Men","reason":"no coupon valid on 1970-01-01"}',
)
NAMES = {"Boys": "Boys", "Girls": "Girls", "Men": "Men", "Sports": "Sport", "Women": "Women"}


def test_focus_events_are_answered_like_brute_force(
    shop: Shop, worker: Worker, client: Client
) -> None:
    """Half of the customers enter before, the others come cold; the answer is the same."""
    entered = [customer for customer in shops.CUSTOMERS if customer % 2]
    for customer in entered:
        client.send("pollux/entry", {"id": str(customer), "ts": NOW})
    decided(shop, len(entered))
    asked = len(shop.scorer.asked)
    assert asked == len(entered)
    for customer in shops.CUSTOMERS:
        for department in NAMES:
            client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": department})
    decided(shop, len(entered) + len(NAMES) * len(shops.CUSTOMERS))
    expected = {
        (customer, spelled): best(customer, spelled, TODAY)
        for customer in shops.CUSTOMERS
        for spelled in NAMES.values()
    }
    offers = {place for place, coupon in expected.items() if coupon is not None}
    assert 10 < len(offers) < len(expected) - 10
    rows = shop.rows(
        "select customer_id, department, coupon_id, outcome from events.decisions "
        "where kind = 'focus'"
    )
    assert {(row[0], row[1]): row[2] for row in rows} == expected
    assert {row[3] for row in rows if row[2] is None} == {"no offer"}

    def found() -> dict[tuple[int, str], int]:
        # An answer may come twice.
        return {
            (int(one["customer"]["id"]), one["coupon"]["department"]): int(one["coupon"]["id"])
            for one in (heard.document for heard in client.heard)
        }

    wait_for(lambda: len(found()) >= len(offers))
    assert found() == {place: expected[place] for place in offers}
    # Those who entered were answered from what was prepared.
    cold = [one for one in shop.scorer.asked[asked:] if one["customer"]["customer_id"] % 2]
    assert cold == []
    assert worker.metric('pollux_events_received_total{kind="focus"}') == len(expected)
    assert worker.metric('pollux_events_decided_total{outcome="offer"}') == len(offers)
    wait_for(lambda: worker.metric("pollux_events_outbox") == 0)
    # An event stays in hand until the broker has its receipt.
    wait_for(lambda: worker.metric("pollux_events_lag_seconds") == 0)
    assert worker.metric("pollux_events_dead_total") == 0


def test_an_offer_is_written_as_shops_know_it(shop: Shop, worker: Worker, client: Client) -> None:
    customer = next(c for c in shops.CUSTOMERS if best(c, "Boys", TODAY) == 2)
    client.send("pollux/focus", {"id": str(customer), "ts": NOW, "dep": "Boys", "x": 1, "y": None})
    (heard,) = wait_for(lambda: client.on("pollux/coupon-prediction"))
    shirts = [
        {
            "id": str(product), "name": f"Shirt {product}", "category": "Shirts", "sizes": "S-XL",
            "vendor": "TinyCottons", "description": "A shirt", "buy_price": 7.12,
            "department": "Boys",
        }
        for product in (101, 102)
    ]  # fmt: skip
    assert heard.document == {
        "customer": {"id": str(customer)},
        "coupon": {
            "id": "2", "type": "buy_all", "department": "Boys", "discount": 20.0, "how_many": 2,
            "start_date": "2025-01-01", "end_date": "2025-12-31", "products": shirts,
        },
        "ts": NOW,
    }  # fmt: skip
    assert b'"discount":20.0' in heard.payload
    (row,) = shop.rows("select answer_id, prediction, release, model from events.decisions")
    # MQTT 3.1.1 has no place for it.
    assert heard.answer_id == (str(row[0]) if shop.is_v5 else None)
    assert row[1:] == (shops.prediction("m1", customer, 2), 1, "m1")


@pytest.mark.parametrize(("department", "how_many"), [("Sports", -1), ("Women", 1)])
def test_how_many_is_said_by_the_type(
    any_shop: Shop, worker: Worker, client: Client, department: str, how_many: int
) -> None:
    name = NAMES[department]
    customer = who_gets(name)
    client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": department})
    (heard,) = wait_for(lambda: client.on("pollux/coupon-prediction"))
    assert heard.document["coupon"]["how_many"] == how_many
    assert heard.document["coupon"]["department"] == name


def test_no_offer_has_a_reason(any_shop: Shop, worker: Worker, client: Client) -> None:
    low = next(c for c in shops.CUSTOMERS if best(c, "Women", TODAY) is None)
    events = {
        "no coupon valid on 1976-02-05": {"id": "1", "ts": 192322800, "dep": "Boys"},
        "no coupon valid on 2025-10-09": {"id": "1", "ts": NOW, "dep": "Men"},
        "no coupon above 0.2": {"id": str(low), "ts": NOW, "dep": "Women"},
        "unknown department": {"id": "1", "ts": NOW, "dep": "Toys"},
        "unknown customer": {"id": "127", "ts": NOW, "dep": "Boys"},
    }
    for event in events.values():
        client.send("pollux/focus", event)
    decided(any_shop, len(events))
    rows = any_shop.rows("select reason, outcome, coupon_id, answer_id from events.decisions")
    assert sorted(rows) == sorted((reason, "no offer", None, None) for reason in events)
    client.send("pollux/entry", {"id": "127", "ts": NOW})
    decided(any_shop, len(events) + 1)
    rows = any_shop.rows("select outcome, reason from events.decisions where kind = 'entry'")
    assert rows == [("no offer", "unknown customer")]
    assert client.heard == []


def test_the_same_event_is_decided_once(shop_v5: Shop, worker: Worker, client: Client) -> None:
    customer = who_gets("Boys")
    event = {"id": customer, "ts": NOW, "dep": "Boys"}
    for event_id in (None, None, "a", "a", "b"):
        client.send("pollux/focus", event, event_id)
    decided(shop_v5, 3)
    wait_for(lambda: worker.metric("pollux_events_repeated_total") == 2)
    heard = wait_for(lambda: len(client.heard) >= 3 and client.heard)
    assert len({one.answer_id for one in heard}) == len(heard) == 3


def test_both_shapes_are_the_same_over_mqtt(shop: Shop, worker: Worker, client: Client) -> None:
    customer = who_gets("Women")
    moment = "2025-10-09T08:53:20.160Z"
    client.send(
        "pollux/focus",
        {
            "event_type": "focus event",
            "event_timestamp": moment,
            "payload": {"customer_id": customer, "category": "Women"},
        },
    )
    (heard,) = wait_for(lambda: client.heard)
    assert heard.document["ts"] == NOW
    assert heard.document["customer"] == {"id": str(customer)}


def test_a_new_release_or_model_drops_what_was_prepared(
    any_shop: Shop, worker: Worker, client: Client
) -> None:
    client.send("pollux/entry", {"id": "1", "ts": NOW})
    decided(any_shop, 1)
    context = "select release, model from events.contexts"
    assert any_shop.rows(context) == [(1, "m1")]
    any_shop.scorer.model = "m22"
    wait_for(lambda: any_shop.rows(context) == [])
    wait_for(lambda: worker.get("/readyz").json()["model"] == "m22")
    client.send("pollux/entry", {"id": "1", "ts": NOW + 1})
    wait_for(lambda: any_shop.rows(context) == [(1, "m22")])
    # Of the new release only coupon 7 is left, in another department.
    shops.release_store(
        any_shop.store, 2, [(7, "department", "Girls", 5, 1, "2025-01-01", "2025-12-31", [201])]
    )
    wait_for(lambda: any_shop.rows(context) == [])
    wait_for(lambda: worker.get("/readyz").json()["release"] == 2)
    for department in ("Women", "Girls"):
        client.send("pollux/focus", {"id": "1", "ts": NOW, "dep": department})
    decided(any_shop, 4)
    rows = dict(
        any_shop.rows("select department, coupon_id from events.decisions where kind = 'focus'")
    )
    offered = 7 if shops.prediction("m22", 1, 7) > 0.2 else None
    assert rows == {"Women": None, "Girls": offered}


def test_without_a_model_or_a_release_the_reason_says_so(any_shop: Shop, client: Client) -> None:
    any_shop.scorer.model = None
    with working(any_shop.settings, **any_shop.environment()) as worker:
        client.send("pollux/focus", {"id": "1", "ts": NOW, "dep": "Boys"})
        decided(any_shop, 1)
        assert any_shop.rows("select reason from events.decisions") == [
            ("no coupon-propensity model",)
        ]
        any_shop.execute("delete from release.current where domain = 'store'; notify release")
        wait_for(lambda: worker.get("/readyz").json()["release"] is None)
        client.send("pollux/focus", {"id": "2", "ts": NOW, "dep": "Boys"})
        decided(any_shop, 2)
        rows = any_shop.rows("select reason from events.decisions where customer_id = 2")
        assert rows == [("no release of the store",)]


def test_what_came_while_nobody_was_there_is_answered(shop: Shop, client: Client) -> None:
    customer = who_gets("Boys")
    with working(shop.settings, **shop.environment()):
        pass
    client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
    with working(shop.settings, **shop.environment()):
        wait_for(lambda: client.heard)


def test_a_prepared_context_outlives_the_worker(any_shop: Shop, client: Client) -> None:
    customer = who_gets("Boys")
    with working(any_shop.settings, **any_shop.environment()):
        client.send("pollux/entry", {"id": customer, "ts": NOW})
        decided(any_shop, 1)
    asked = len(any_shop.scorer.asked)
    with working(any_shop.settings, **any_shop.environment()):
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        wait_for(lambda: client.heard)
    assert len(any_shop.scorer.asked) == asked


def test_a_dead_letter_is_read_after_all(shop: Shop, worker: Worker, client: Client) -> None:
    """A broken event is mended in place, as a new version of the reader would; then replayed."""
    customer = who_gets("Boys")
    client.send("pollux/focus", b"not json")
    client.send("pollux/focus", b"still not json")
    client.send("pollux/conversion", b"MarsupialHoodie, ClickConversion, released@shop.example")
    wait_for(lambda: shop.rows("select count(*) from events.dead_letter") == [(3,)])
    event = json.dumps({"id": customer, "ts": NOW, "dep": "Boys"})
    shop.execute(f"update events.dead_letter set payload = '{event}' where payload = 'not json'")
    shop.execute(
        "update events.dead_letter set payload = payload || ', Instagram' where kind = 'conversion'"
    )
    shop.execute("update events.dead_letter set replay_requested_at = now()")
    rows = (
        # Which of the two at the same time is written first is nobody's promise.
        "select kind, attempts, resolved_at is not null from events.dead_letter "
        "order by kind desc, attempts"
    )
    wait_for(
        lambda: (
            shop.rows(rows) == [("focus", 1, True), ("focus", 2, False), ("conversion", 1, True)]
        )
    )
    assert shop.rows(
        "select count(*) from events.dead_letter where replay_requested_at is not null"
    ) == [(0,)]
    wait_for(lambda: client.on("pollux/coupon-prediction") and client.on("pollux/promo-code"))


def test_old_events_and_answers_are_forgotten(any_shop: Shop, client: Client) -> None:
    customer = who_gets("Boys")
    with working(any_shop.settings, **any_shop.environment()):
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        wait_for(lambda: any_shop.rows(PUBLISHED))
    old = "now() - interval '31 days'"
    any_shop.execute(f"update events.inbox set received_at = {old}")
    any_shop.execute(f"update events.outbox set published_at = {old}")
    any_shop.execute(f"update events.documents set made_at = {old}")
    with working(any_shop.settings, **any_shop.environment()):
        for table in ("inbox", "outbox", "documents"):
            wait_for(lambda table=table: any_shop.rows(f"select 1 from events.{table}") == [])
        # The decision stays, and so the event stays done.
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        wait_for(lambda: any_shop.rows("select 1 from events.inbox"))
    assert any_shop.rows("select count(*) from events.decisions") == [(1,)]
    assert len(client.heard) == 1


def test_an_older_answer_than_its_lease_is_sent_by_another(any_shop: Shop, client: Client) -> None:
    with working(any_shop.settings, **any_shop.environment()):
        any_shop.execute(
            "insert into events.outbox (answer_id, event_key, topic, opening, closing, worker, "
            "leased_until) select gen_random_uuid(), gen_random_uuid(), "
            f"'{any_shop.prefix}/coupon-prediction', '{LEFT[0]}', '{LEFT[1]}', 'gone', now()"
        )
        (heard,) = wait_for(lambda: client.heard)
        assert heard.payload.decode() == "".join(LEFT)
        wait_for(lambda: any_shop.rows(PUBLISHED))


def test_credentials_that_are_refused_end_the_worker(new_shop: Shop, tmp_path: Path) -> None:
    passwords = new_shop.folder / "passwords"
    passwords.write_text("")
    lines = ("allow_anonymous false", f"password_file {passwords}")
    with shops.broker(new_shop.folder / "broker", new_shop.port, *lines):
        environment = new_shop.environment(MQTT_USERNAME="till", MQTT_PASSWORD="s3cret-word")
        worker = shops.start_worker(new_shop.settings, **environment)
        assert worker.process.wait(timeout=shops.SECONDS) == 3
        text = worker.text
        assert "The broker refuses the credentials" in text
        assert "MQTT_USERNAME" in text
        assert "s3cret-word" not in text
        assert "Traceback" not in text


def test_brokers_are_tried_in_turn_over_tls(new_shop: Shop) -> None:
    certificate = make_certificate(new_shop.folder / "tls")
    lines = (
        "allow_anonymous true",
        f"certfile {certificate}",
        f"keyfile {certificate.parent / 'key.pem'}",
    )
    with shops.broker(new_shop.folder / "broker", new_shop.port, *lines):
        environment = new_shop.environment(
            MQTT_HOST=f"127.0.0.1:{free_port()}, localhost",
            MQTT_PORT=str(new_shop.port),
            MQTT_BROKER_CERT_FILE=str(certificate),
            ENTRY_EVENT_TOPIC_NAME="shop/in",
            FOCUS_EVENT_TOPIC_NAME="shop/stop",
            COUPON_PREDICTION_TOPIC_NAME="shop/offer",
        )
        with working(new_shop.settings, **environment) as worker:
            assert worker.get("/readyz").json()["worker"] == 1


def test_mqtt_3_has_one_worker(shop_v5: Shop) -> None:
    client = Client(shop_v5.port, TOPICS, is_v5=False, prefix=shop_v5.prefix)
    customer = who_gets("Boys")
    environment = shop_v5.environment(MQTT_PROTOCOL="3.1.1")
    with working(shop_v5.settings, **environment):
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        wait_for(lambda: client.heard)
        second = shops.start_worker(shop_v5.settings, **environment)
        assert second.process.wait(timeout=shops.SECONDS) == 3
        assert "With MQTT 3.1.1 only one worker can run" in second.text
    client.close()


def test_readiness_names_what_is_away(new_shop: Shop, start_broker: Callable[[str], int]) -> None:
    with shops.starting(new_shop.settings, **new_shop.environment()) as worker:
        wait_for(lambda: _problem(worker).startswith("Events cannot arrive from the broker"))
    new_shop.port = start_broker(AMQTT)
    with working(new_shop.settings, **new_shop.environment()) as worker:
        new_shop.scorer.close()
        wait_for(lambda: _problem(worker).startswith("The scorer cannot be reached"))


def _problem(worker: Worker) -> str:
    try:
        document = worker.get("/readyz").json()
    except Exception:
        return ""
    return str(document.get("detail", ""))


def test_what_waits_for_a_worker_that_stays_away_is_taken_over(
    shop_v5: Shop, client: Client
) -> None:
    """A broker goes on giving an absent worker its share; none of it is lost."""
    environment = shop_v5.environment(POLLUX_EVENTS_TAKEOVER_SECONDS="2")
    with working(shop_v5.settings, **environment) as first:
        second = shops.start_worker(shop_v5.settings, **environment)
        wait_for(lambda: shops.is_ready(second))
        assert second.get("/readyz").json()["worker"] == 2
        leave_behind(second, client, 40)
        decided(shop_v5, 40)
        wait_for(lambda: shop_v5.rows("select number from events.workers") == [(1,)])
        # Its share is the others' from here on.
        client.send("pollux/focus", {"id": "1", "ts": NOW, "dep": "Boys"}, "after")
        decided(shop_v5, 41)
        assert "its session is taken over" in first.text
        assert shop_v5.rows("select count(distinct worker) from events.inbox") == [(1,)]
