"""The event service without a broker: events over HTTP, as its documentation shows them."""

import json
import os

import pytest

from tests.services.events import support as shops
from tests.services.events.conftest import Shop
from tests.services.events.support import (
    NOW,
    TODAY,
    Worker,
    best,
    start_worker,
    who_gets,
    working,
)
from tests.support.programs import wait_for


def test_events_of_both_shapes_are_taken(new_shop: Shop, lone_worker: Worker) -> None:
    """The documentation's own examples."""
    entered = lone_worker.post("/mock_entry", {"id": "127", "ts": 192322800})
    assert entered.status_code == 200
    assert entered.json() | {"event_key": ""} == {
        "event_key": "", "outcome": "no offer", "reason": "unknown customer", "prediction": None
    }  # fmt: skip
    assert (
        lone_worker.post("/mock_focus", {"id": "7", "ts": 192322800, "dep": "Boys"}).json()[
            "reason"
        ]
        == "no coupon valid on 1976-02-05"
    )
    moment = "2021-03-18T08:29:02.160Z"
    wrapped = {"event_type": "entry event", "event_timestamp": moment}
    entered = lone_worker.post("/mock_entry", wrapped | {"payload": {"customer_id": 3}})
    assert entered.json()["outcome"] == "prepared"
    wrapped = {"event_type": "focus event", "event_timestamp": moment}
    focused = lone_worker.post(
        "/mock_focus", wrapped | {"payload": {"customer_id": 8, "category": "Women"}}
    )
    assert focused.json()["reason"] == "no coupon valid on 2021-03-18"


def test_an_offer_is_answered_and_not_queued(new_shop: Shop, lone_worker: Worker) -> None:
    customer = next(c for c in shops.CUSTOMERS if best(c, "Boys", TODAY) == 2)
    event = {"id": str(customer), "ts": NOW, "dep": "Boys"}
    first = lone_worker.post("/mock_focus", event)
    assert first.json()["outcome"] == "offer"
    prediction = first.json()["prediction"]
    assert prediction["customer"] == {"id": str(customer)}
    assert prediction["coupon"]["id"] == "2"
    assert prediction["ts"] == NOW
    # The same event is the same decision.
    assert lone_worker.post("/mock_focus", event).json() == first.json()
    assert new_shop.rows("select count(*) from events.decisions") == [(1,)]
    # Were it queued, the next worker with a broker would send it.
    assert new_shop.rows("select count(*) from events.outbox") == [(0,)]
    assert lone_worker.get("/readyz").status_code == 200


def test_what_cannot_be_read_is_said(new_shop: Shop, lone_worker: Worker) -> None:
    answer = lone_worker.post("/mock_focus", {"id": "7", "ts": NOW})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["detail"] == "the department is missing"
    assert new_shop.rows("select reason from events.dead_letter") == [
        ("the department is missing",)
    ]
    shapes = lone_worker.get("/openapi.json").json()["paths"]["/mock_focus"]["post"]["requestBody"]
    assert len(shapes["content"]["application/json"]["schema"]["anyOf"]) == 2


def test_with_a_broker_there_are_no_mocks(shop: Shop) -> None:
    with working(shop.settings, **shop.environment()) as lone_worker:
        assert lone_worker.post("/mock_entry", {"id": "1", "ts": NOW}).status_code == 404


def test_two_mocks_at_once_need_a_port_each(new_shop: Shop, lone_worker: Worker) -> None:
    port = lone_worker.url.rpartition(":")[2]
    environment = new_shop.environment(TESTING_NO_MQTT="true", POLLUX_EVENTS_PORT=port)
    second = start_worker(new_shop.settings, **environment)
    assert second.process.wait(timeout=shops.SECONDS) == 1
    assert f"Port {port} is in use by process {os.getpid()}" in second.text


@pytest.mark.endurance
def test_a_database_that_is_away_is_waited_for(new_shop: Shop, lone_worker: Worker) -> None:
    """The event stays in hand, and is decided when the database is back."""
    embedded = new_shop.store.embedded
    assert embedded is not None
    customer = who_gets("Boys")
    embedded.kill()
    wait_for(lambda: lone_worker.get("/readyz").status_code == 503)
    event = {"id": str(customer), "ts": NOW, "dep": "Boys"}
    assert lone_worker.post("/mock_focus", event).status_code == 503
    embedded.use()
    wait_for(lambda: new_shop.rows("select count(*) from events.decisions") == [(1,)])
    assert json.loads(lone_worker.post("/mock_focus", event).content)["outcome"] == "offer"
