"""What serves, on each kind of PostgreSQL: a release, an answer, an event, a rollback.

The tests of the event service that write run on them, too (`tests/services/events/conftest.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestration.release.publish import release, rollback
from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.services.api.support import client_of, wait_until
from tests.services.events import support as shops
from tests.support.installations import Prepared
from tests.support.servers import KINDS, serving_database

pytestmark = pytest.mark.endurance

SHOWN = "X-Pollux-Release"
DOMAINS = ("household", "store")
EVENT = {"customer_id": 2, "department": "Men", "at": "2026-11-22T10:15:00Z", "event_id": "a"}


@pytest.fixture(params=KINDS)
def settings(
    request: pytest.FixtureRequest, prepared: Prepared, short_tmp: Path
) -> Iterator[Settings]:
    """An installation that is built, and a server that knows nothing of it."""
    copied = prepared.copy(prepared.everything(), short_tmp / request.param, released=False)
    with serving_database(request.param) as urls:
        yield Settings(data_dir=copied.data_dir, api_keys="", **urls)


def rows(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as owner:
        return owner.execute(statement.encode()).fetchall()


def test_it_releases_serves_takes_an_event_and_goes_back(settings: Settings) -> None:
    for domain in DOMAINS:
        assert release(settings, domain).number == 1
    ((baskets,),) = rows(
        settings, "select baskets from household__r1.household_rfm where household_key = 1"
    )
    with client_of(create_app(settings)) as api:
        path = "/v1/households/1"
        answer = api.get(path)
        assert (answer.status_code, answer.json()["baskets"]) == (200, baskets)
        # The same build, as another release.
        rows(settings, "update release.releases set dbt_invocation = 'earlier' returning domain")
        assert release(settings, "household").number == 2
        wait_until(lambda: api.get(path).headers[SHOWN] == "household-2", seconds=5)
        rollback(settings, "household")
        wait_until(lambda: api.get(path).headers[SHOWN] == "household-1", seconds=5)

    scorer = shops.Scorer()
    try:
        with shops.working(
            settings, POLLUX_SCORING_URL=scorer.url, TESTING_NO_MQTT="true"
        ) as worker:
            offers = [worker.post("/v1/offers", EVENT).json() for _ in range(2)]
    finally:
        scorer.close()
    assert [one["is_repeated"] for one in offers] == [False, True]
    assert rows(settings, "select customer_id, coupon_id::text from events.decisions") == [
        (EVENT["customer_id"], (offers[0]["coupon"] or {}).get("id"))
    ]
