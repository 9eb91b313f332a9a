"""The latest changes of segments over HTTP."""

from datetime import datetime

import pytest

from services.events import answering
from services.events.segment_routes import SegmentChanges
from tests.services.api.support import problem
from tests.services.events.conftest import Shop
from tests.services.events.support import WorkerThread

PATH = "/v1/segment-changes"
KEY = "5ad0ee2e-5f3c-5d0a-9a27-0a7d4e0c9f4b"
TOLD = f"""
insert into events.segment_changes (
    household_key, segment_before, segment, cause, why, event_key, release, answer_id
) values
    (7, null, 'New', 'purchase', 'one visit', '{KEY}', 3, gen_random_uuid()),
    (8, 'Loyal', null, 'release', null, null, 4, gen_random_uuid())
"""


def test_the_latest_changes_come_newest_first(new_shop: Shop, lone_worker: WorkerThread) -> None:
    assert lone_worker.get(PATH).json() == {"data": []}
    new_shop.execute(TOLD)
    answer = lone_worker.get(PATH)
    assert answer.headers["cache-control"] == "no-store"
    newest, oldest = answer.json()["data"]
    SegmentChanges.model_validate(answer.json())
    at = datetime.fromisoformat(oldest.pop("at"))
    assert [(at,)] == new_shop.rows(
        "select changed_at from events.segment_changes where household_key = 7"
    )
    assert oldest == {
        "number": 1, "household_key": 7, "from_segment": None, "to_segment": "New",
        "cause": "purchase", "why": "one visit", "event_key": KEY, "release": 3,
    }  # fmt: skip
    assert (newest["household_key"], newest["to_segment"], newest["event_key"]) == (8, None, None)
    assert lone_worker.get(f"{PATH}?limit=1").json()["data"] == [newest]


def test_a_wrong_query_is_refused(new_shop: Shop, lone_worker: WorkerThread) -> None:
    for query in ("limit=0", "limit=101", "limit=many", "household_key=7"):
        refused = problem(lone_worker.get(f"{PATH}?{query}"), 422, "invalid-input")
        assert query.partition("=")[0] in refused["detail"]


def test_without_the_table_it_says_that_the_database_is_away(
    new_shop: Shop, lone_worker: WorkerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "SECONDS", 0.3)
    with new_shop.store.connect() as connection:
        connection.execute("lock table events.segment_changes in access exclusive mode")
        problem(lone_worker.get(PATH), 503, "database-unavailable")
