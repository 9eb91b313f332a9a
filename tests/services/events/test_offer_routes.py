"""Offers over HTTP: what is answered to whom, and what is said when something is away."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from services.events import answering, offer_routes
from services.events.offer_schemas import LatestOffers, Offer, OfferResult
from tests.services.api.support import problem
from tests.services.events import support as shops
from tests.services.events.conftest import Shop
from tests.services.events.support import (
    NOW,
    TODAY,
    WorkerThread,
    best,
    prediction,
    who_gets,
    working,
)
from tests.support.programs import wait_for

AT = "2025-10-09T08:53:20Z"
COUNT = "select count(*) from events.decisions"


def test_an_offer_and_what_it_rests_on(new_shop: Shop, lone_worker: WorkerThread) -> None:
    customer = next(c for c in shops.CUSTOMERS if best(c, "Boys", TODAY) == 2)
    asked = {"customer_id": customer, "department": "Boys", "at": AT}
    answer = lone_worker.post("/v1/offers?explain=true", asked)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    likelihood = prediction("m1", customer, 2)
    (row,) = new_shop.rows("select event_key::text, outcome from events.decisions")
    assert found == {
        "outcome": "offer", "reason": None, "customer_id": customer, "department": "Boys",
        "at": AT, "day": "2025-10-09",
        "coupon": {
            "id": "2", "type": "buy_all", "department": "Boys", "discount": 20.0, "how_many": 2,
            "start_date": "2025-01-01", "end_date": "2025-12-31", "products_available": 2,
            "products_link": "/v1/coupons/2/products",
        },
        "likelihood": likelihood, "threshold": 0.2, "release": 1, "model": "m1",
        "event_key": row[0], "is_repeated": False,
        "explanation": {"coupon_id": 2, "likelihood": likelihood, **shops.EXPLANATION},
    }  # fmt: skip
    assert row[1] == "offer"
    Offer.model_validate(found)
    # Were it queued, the next worker with a broker would send it.
    assert new_shop.rows("select count(*) from events.outbox") == [(0,)]
    dry = lone_worker.post("/v1/offers?dry_run=true", asked).json()
    assert dry == {key: found[key] for key in dry} | {"event_key": None}
    assert found.keys() - dry.keys() == {"explanation"}
    assert new_shop.rows(COUNT) == [(1,)]


def test_the_latest_decisions_are_listed_newest_first(
    new_shop: Shop, lone_worker: WorkerThread
) -> None:
    assert lone_worker.get("/v1/offers").json() == {"data": []}
    taker = who_gets("Boys")
    decliner = next(c for c in shops.CUSTOMERS if best(c, "Women", TODAY) is None)
    asked = ({"customer_id": taker, "department": "Boys"}, {"customer_id": decliner})
    keys = [
        lone_worker.post("/v1/offers", {"department": "Women", "at": AT} | one).json()["event_key"]
        for one in asked
    ]
    # An entry is decided, too, and is no offer.
    lone_worker.post("/mock_entry", {"id": str(taker), "ts": NOW})
    wait_for(lambda: new_shop.rows(COUNT) == [(3,)])
    found = LatestOffers.model_validate(lone_worker.get("/v1/offers").json()).data
    assert [str(one.event_key) for one in found] == keys[::-1]
    newest, oldest = found
    assert (newest.outcome, newest.reason) == ("no offer", "no coupon above 0.2")
    assert newest.coupon_id is None
    assert (oldest.outcome, oldest.reason, oldest.customer_id) == ("offer", None, taker)
    assert oldest.coupon_id == best(taker, "Boys", TODAY)
    assert oldest.likelihood == prediction("m1", taker, best(taker, "Boys", TODAY) or 0)
    assert oldest.at == datetime.fromisoformat(AT)
    assert oldest.decided_at <= newest.decided_at <= datetime.now(UTC)
    (limited,) = lone_worker.get("/v1/offers?limit=1").json()["data"]
    assert limited["event_key"] == keys[1]
    for wrong in ("limit=0", "limit=101", "limit=x", "last=1"):
        problem(lone_worker.get(f"/v1/offers?{wrong}"), 422, "invalid-input")


def test_without_a_database_the_latest_decisions_are_not_known(
    new_shop: Shop, lone_worker: WorkerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SECONDS", 0.3)
    with new_shop.store.connect() as connection:
        connection.execute("lock table events.decisions in access exclusive mode")
        problem(lone_worker.get("/v1/offers"), 503, "database-unavailable")


def test_no_offer_has_a_reason(lone_worker: WorkerThread) -> None:
    low = next(c for c in shops.CUSTOMERS if best(c, "Women", TODAY) is None)
    found = lone_worker.post(
        "/v1/offers", {"customer_id": low, "department": "Women", "at": AT}
    ).json()
    assert found["outcome"] == "no offer"
    assert found["reason"] == "no coupon above 0.2"
    assert found["likelihood"] == prediction("m1", low, 7)
    assert found["coupon"] is None
    # Without a time it is now: the coupons of 2025 are not valid any more.
    before = datetime.now(UTC).replace(microsecond=0)
    now = lone_worker.post("/v1/offers?dry_run=true&explain=true", {"customer_id": "1.0"}).json()
    assert before <= datetime.fromisoformat(now["at"]) <= datetime.now(UTC)
    assert now["reason"] == f"no coupon valid on {now['day']}"
    assert now["explanation"] is now["department"] is now["likelihood"] is None


def test_requests_that_cannot_be_read_are_told(lone_worker: WorkerThread) -> None:
    for body, detail in (
        ({}, "body customer_id: Field required"),
        ({"customer_id": 1, "dep": "Boys"}, "body dep: Extra inputs are not permitted"),
        ({"customer_id": "one"}, "body customer_id: "),
        ({"customer_id": 1, "at": "soon"}, "body at: "),
        ({"customer_id": 1, "at": "2090-01-01T00:00:00Z"}, "body at: an implausible day"),
        ({"customer_id": 1, "event_id": " "}, "body event_id: "),
        ({"customer_id": 1, "event_id": "x" * 256}, "body event_id: "),
        ({"customer_id": 1, "department": "Toys"}, "body department: No department is called"),
    ):
        answer = lone_worker.post("/v1/offers", body)
        assert problem(answer, 422, "invalid-input")["detail"].startswith(detail)
    answer = lone_worker.post("/v1/offers?dry=true", {"customer_id": 1})
    assert problem(answer, 422, "invalid-input")["detail"].startswith("query dry: ")
    answer = lone_worker.post("/v1/offers/batch?explain=true", [{"customer_id": 1}])
    assert problem(answer, 422, "invalid-input")["detail"].startswith("query explain: ")
    answer = lone_worker.post("/v1/offers", {"customer_id": 127})
    assert (
        problem(answer, 404, "unknown-store-customer")["detail"] == "No customer 127 of the shop."
    )
    asked = {"customer_id": 1, "department": "Boys", "at": AT, "event_id": "a"}
    assert lone_worker.post("/v1/offers", asked).json()["is_repeated"] is False
    assert lone_worker.post("/v1/offers", asked).json()["is_repeated"] is True
    answer = lone_worker.post("/v1/offers", asked | {"customer_id": 2})
    assert "decided for another customer" in problem(answer, 409, "event-id-used")["detail"]


def test_a_batch_is_decided_one_by_one(new_shop: Shop, lone_worker: WorkerThread) -> None:
    asked: list[dict[str, Any]] = [
        {"customer_id": customer, "department": department, "at": AT}
        for customer in shops.CUSTOMERS
        for department in ("Boys", "Men")
    ]
    asked[3] = {"customer_id": 127, "at": AT}
    asked[5] = {"customer_id": 1, "department": "Toys"}
    dry = lone_worker.post("/v1/offers/batch?dry_run=true", asked)
    assert new_shop.rows(COUNT) == [(0,)]
    real = lone_worker.post("/v1/offers/batch", asked)
    assert new_shop.rows(COUNT) == [(len(asked) - 2,)]
    for answer in (dry, real):
        assert answer.status_code == 200
        found = answer.json()
        assert len(found) == len(asked)
        for one, result in zip(asked, found, strict=True):
            OfferResult.model_validate(result)
            if one in (asked[3], asked[5]):
                assert result["offer"] is None
                continue
            assert result["problem"] is None
            coupon = result["offer"]["coupon"]
            expected = best(one["customer_id"], one["department"], TODAY)
            assert (coupon and int(coupon["id"])) == expected
        assert found[3]["problem"] | {"instance": ""} == {
            "type": "urn:pollux:problem:unknown-store-customer", "status": 404, "instance": "",
            "title": "Unknown customer of the shop", "detail": "No customer 127 of the shop.",
        }  # fmt: skip
        assert found[5]["problem"]["status"] == 422
    assert lone_worker.post("/v1/offers/batch", []).json() == []
    too_many = lone_worker.post("/v1/offers/batch", [{"customer_id": 1}] * 1_001)
    assert "1000" in problem(too_many, 422, "invalid-input")["detail"]


def test_whoever_is_away_is_named_in_time(
    new_shop: Shop, lone_worker: WorkerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SECONDS", 0.3)
    monkeypatch.setattr(offer_routes, "BATCH_SECONDS", 0.3)
    asked = {"customer_id": who_gets("Boys"), "department": "Boys", "at": AT}
    known = lone_worker.post("/v1/offers", asked).json()
    new_shop.scorer.is_hanging = True
    other = asked | {"department": "Women"}
    answer = lone_worker.post("/v1/offers", other)
    assert problem(answer, 503, "not-in-time")["detail"] == (
        "The offer was not decided within 0.3 s. Ask again, with the same event_id."
    )
    assert answer.headers["retry-after"] == "1"
    # What is in memory needs no scorer.
    assert lone_worker.post("/v1/offers", asked).json()["coupon"] == known["coupon"]
    monkeypatch.setattr(lone_worker.app.state.worker, "is_scorer_up", False)
    detail = problem(lone_worker.post("/v1/offers", other), 503, "scorer-unavailable")["detail"]
    assert detail.startswith("The coupon scorer does not answer.")
    (result,) = lone_worker.post("/v1/offers/batch", [other]).json()
    assert result["problem"]["type"].endswith(":scorer-unavailable")
    new_shop.scorer.is_hanging = False
    # A worker that waits for its database has nothing to decide with yet.
    monkeypatch.setattr(lone_worker.app.state.worker, "_has_begun", asyncio.Event())
    for path, body in (("/v1/offers", asked), ("/v1/offers/batch", [asked])):
        problem(lone_worker.post(path, body), 503, "database-unavailable")


def test_a_held_up_database_is_named(
    new_shop: Shop, lone_worker: WorkerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others hold the table of decisions: nothing is recorded in time."""
    monkeypatch.setattr(answering, "SECONDS", 0.3)
    asked = {"customer_id": who_gets("Boys"), "department": "Boys", "at": AT, "event_id": "a"}
    wait_for(lambda: lone_worker.app.state.worker.is_scorer_up)
    with new_shop.store.connect() as connection:
        connection.execute("lock table events.decisions in exclusive mode")
        problem(lone_worker.post("/v1/offers", asked), 503, "not-in-time")
        monkeypatch.setattr(type(lone_worker.app.state.worker), "is_database_up", False)
        problem(lone_worker.post("/v1/offers", asked), 503, "database-unavailable")
    # The record may have been made after all: with its id, the event is decided once.
    found = lone_worker.post("/v1/offers", asked)
    assert found.status_code == 200
    assert new_shop.rows(COUNT) == [(1,)]


@pytest.mark.endurance
def test_a_database_that_is_away_is_named_and_found_again(
    new_shop: Shop, lone_worker: WorkerThread
) -> None:
    embedded = new_shop.store.embedded
    assert embedded is not None
    asked = {"customer_id": who_gets("Boys"), "department": "Boys", "at": AT, "event_id": "a"}
    embedded.kill()
    wait_for(lambda: lone_worker.get("/readyz").status_code == 503)
    problem(lone_worker.post("/v1/offers", asked), 503, "database-unavailable")
    embedded.use()
    wait_for(lambda: lone_worker.post("/v1/offers", asked).status_code == 200)
    assert new_shop.rows(COUNT) == [(1,)]


def test_offers_are_decided_beside_mqtt(any_shop: Shop) -> None:
    """One worker does both; what is asked here is not sent there."""
    client = any_shop.client()
    customer = who_gets("Boys")
    asked = {"customer_id": customer, "department": "Boys", "at": AT, "event_id": "a"}
    with working(any_shop.settings, **any_shop.environment()) as worker:
        assert worker.post("/v1/offers", asked).json()["outcome"] == "offer"
        client.send("pollux/focus", {"id": customer, "ts": NOW, "dep": "Boys"})
        (heard,) = wait_for(lambda: client.heard)
        rows = any_shop.rows("select answer_id::text from events.outbox")
        assert len(rows) == 1
        if heard.answer_id is not None:
            assert rows == [(heard.answer_id,)]
        assert any_shop.rows(COUNT) == [(2,)]
    client.close()
