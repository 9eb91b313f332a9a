"""Purchases over HTTP and MQTT, through a worker."""

import pytest

from services.events import answering
from tests.services.api.support import problem
from tests.services.events.conftest import Shop
from tests.services.events.purchases.test_rows import BASKET, ORDER
from tests.services.events.support import Client, Worker, WorkerThread
from tests.support.programs import wait_for

PATH = "/v1/purchases"
COUNT = "select count(*) from events.basket_lines"


def test_a_purchase_is_taken_once(new_shop: Shop, lone_worker: WorkerThread) -> None:
    answers = [lone_worker.post(PATH, BASKET | {"event_id": "till-7"}) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].headers["cache-control"] == "no-store"
    ((key,),) = new_shop.rows("select event_key::text from events.basket_lines")
    assert [one.json() for one in answers] == [
        {"event_key": key, "is_repeated": False},
        {"event_key": key, "is_repeated": True},
    ]
    other = lone_worker.post(PATH, ORDER | {"event_id": "till-7"})
    assert "another purchase" in problem(other, 409, "event-id-used")["detail"]
    assert new_shop.rows(COUNT) == [(1,)]


def test_what_cannot_be_taken_is_refused_and_not_kept(
    new_shop: Shop, lone_worker: WorkerThread
) -> None:
    for wrong, where in (
        ({}, "a basket has a basket_id"),
        (BASKET | {"at": "2999-01-01"}, "body at: an implausible day"),
        (BASKET | {"at": None, "day": "2999-01-01"}, "body day: an implausible day"),
        (BASKET | {"lines": []}, "basket.lines"),
        (ORDER | {"lines": [{"product_id": 1, "paid_price": "dear"}]}, "order.lines.0.paid_price"),
    ):
        assert where in problem(lone_worker.post(PATH, wrong), 422, "invalid-input")["detail"]
    assert new_shop.rows("select count(*) from events.inbox") == [(0,)]
    assert new_shop.rows("select count(*) from events.dead_letter") == [(0,)]


def test_without_a_database_it_says_so_and_may_be_sent_again(
    new_shop: Shop, lone_worker: WorkerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SECONDS", 0.3)
    named = BASKET | {"event_id": "till-7"}
    with new_shop.store.connect() as connection:
        connection.execute("lock table events.basket_lines in access exclusive mode")
        problem(lone_worker.post(PATH, named), 503, "database-unavailable")
    monkeypatch.setattr(answering, "SECONDS", 30)
    assert lone_worker.post(PATH, named).status_code == 200
    assert new_shop.rows(COUNT) == [(1,)]


def test_over_mqtt_it_is_the_same_event(shop: Shop, worker: Worker, client: Client) -> None:
    client.send("pollux/purchase", BASKET | {"event_id": "till-7"})
    client.send("pollux/purchase", ORDER)
    wait_for(lambda: shop.rows("select count(*) from events.order_lines") == [(1,)])
    assert worker.post(PATH, BASKET | {"event_id": "till-7"}).json()["is_repeated"] is True
    assert shop.rows(COUNT) == [(1,)]
