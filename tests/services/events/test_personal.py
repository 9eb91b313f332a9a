"""A person in events over HTTP is in no log, no metric and no reason, whatever fails."""

import json

import httpx
import pytest

from tests.services.events.conftest import Shop
from tests.services.events.support import NOW, Worker, is_ready, start_worker
from tests.support.canary import EMAIL, NAME, NUMBER, PERSON, ask_for_a_person, traces_in
from tests.support.programs import wait_for

pytestmark = pytest.mark.endurance

POSTS = ("/mock_entry", "/mock_focus", "/v1/offers", "/v1/offers/batch")
EVENTS = [
    {"id": str(NUMBER), "ts": NOW, "dep": NAME},
    {"id": str(NUMBER), "ts": NOW, "dep": "Boys", **PERSON},
    {"id": EMAIL, "ts": NAME, "dep": "Boys"},
    {"customer_id": NUMBER, "department": NAME, "event_id": EMAIL},
    {"customer_id": NUMBER, "department": "Boys", "at": EMAIL},
]


def send_events(client: httpx.Client) -> list[httpx.Response]:
    return [
        client.post(path, json=[event] if path.endswith("batch") else event)
        for path in POSTS
        for event in EVENTS
    ]


def test_events_over_http_leave_no_trace_of_a_person(new_shop: Shop) -> None:
    environment = new_shop.environment(TESTING_NO_MQTT="true", POLLUX_LOG_REQUESTS="true")
    embedded = new_shop.store.embedded
    assert embedded is not None
    worker = start_worker(new_shop.settings, **environment)
    refuse = f"add constraint refused check (customer_id <> {NUMBER})"
    new_shop.execute(f"alter table events.decisions {refuse}")
    try:
        wait_for(lambda: is_ready(worker))
        with httpx.Client(base_url=worker.url, trust_env=False, timeout=30) as client:
            answers = ask_for_a_person(
                client,
                paths=["/v1/offers/{}", "/{}", "/v1/{}/{}"],
                lists=["/v1/offers", "/healthz"],
                posts=POSTS,
            )
            answers += send_events(client)
            embedded.kill()
            away = send_events(client)
            embedded.use()
            wait_for(lambda: is_ready(worker))
        found = look(new_shop, worker)
    finally:
        worker.stop()
        embedded.use()
        new_shop.execute("alter table events.decisions drop constraint refused")

    assert {404, 421, 422} <= {answer.status_code for answer in answers}
    assert 503 in {answer.status_code for answer in away}
    # The person was asked for: answers say what of.
    assert any(traces_in(answer.text) for answer in answers)
    signs = {
        "log": "The database refuses event",
        "metrics": 'pollux_http_requests_total{route="/mock_focus"',
        "PostgreSQL": "database system is ready",
        "reasons": "the database refuses it",
    }
    for where, text in found.items():
        # There was something to scan.
        assert signs[where] in text, where
        assert traces_in(text) == [], where


def look(shop: Shop, worker: Worker) -> dict[str, str]:
    assert shop.store.embedded is not None
    return {
        "log": worker.text,
        "metrics": worker.get("/metrics").text,
        "PostgreSQL": shop.store.embedded.log.read_text(),
        "reasons": json.dumps(shop.rows("select reason from events.dead_letter")),
    }
