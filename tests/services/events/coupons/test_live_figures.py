"""Offers rest on what the customer is by now: a coupon just used counts at the next focus.

In the releases of these tests everybody used 2 coupons for 12 items.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from orchestration.release import live
from orchestration.release.live import LiveRelease
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.common.releases import Release
from services.events.coupons.catalogue import CUSTOMER
from services.events.coupons.offers import Choice
from services.live.metrics import LiveMetrics
from services.live.updater import Updater
from tests.services.events import support as shops
from tests.services.events.conftest import Shop
from tests.services.events.coupons.desk import Desk
from tests.services.events.coupons.test_offers import event, prepared
from tests.services.events.doubles import run
from tests.services.events.support import NOW, WorkerThread
from tests.support.programs import wait_for

AT = "2025-10-09T08:53:20Z"
MARTS = ("customer_info",)
COUPONS_USED = "total_coupons_used"
RELEASED, ITEMS = 2, 12


class CountingModels:
    """Adds to the figures of release 1 what the customer's orders say."""

    def __init__(self, _folder: Path) -> None:
        pass

    def compute(
        self, keys: Sequence[int], lines: pa.Table, _live_day: int | None
    ) -> dict[str, pa.Table]:
        rows = [row for row in lines.to_pylist() if row["customer_id"] in keys]
        found = []
        for key in keys:
            theirs = [row for row in rows if row["customer_id"] == key]
            used = sum(row["coupon_id"] is not None for row in theirs)
            figures = {COUPONS_USED: RELEASED + used, "total_items_bought": ITEMS + len(theirs)}
            found.append({"customer_id": key, "gender": "F", "age": 40} | figures)
        return {"customer_info": pa.Table.from_pylist(found)}

    def look_again(self) -> None:
        pass

    def close(self) -> None:
        pass


class LiveDouble:
    """Knows of live rows of the customers that it is told."""

    def __init__(self) -> None:
        self.revisions: dict[int, int] = {}
        self.has_tried = asyncio.Event()
        self.has_tried.set()

    def revision(self, subject: tuple[str, int]) -> int:
        assert subject[0] == "store"
        return self.revisions.get(subject[1], 0)


@pytest.fixture
def owner(store: ServingStore) -> Iterator[psycopg.Connection]:
    """The store's release can be answered live, and nobody has live rows."""
    with store.connect(autocommit=True) as connection:
        take_over(connection, store, 1, 0)
        yield connection
        connection.execute("drop schema store__live cascade; delete from live.followed")


def take_over(
    connection: psycopg.Connection, store: ServingStore, number: int, last_event: int
) -> None:
    with connection.transaction():
        live.take_over(connection, store, "store", number, LiveRelease(last_event, MARTS))


def write(owner: psycopg.Connection, customer: int, revision: int, *, used: int) -> None:
    """Writes live rows as the updater does."""
    owner.execute("delete from store__live.live_customers where customer_id = %s", [customer])
    owner.execute("delete from store__live.customer_info where customer_id = %s", [customer])
    owner.execute(
        "insert into store__live.live_customers (customer_id, number, release, revision) "
        "values (%s, 1, 1, %s)",
        [customer, revision],
    )
    owner.execute(
        "insert into store__live.customer_info (customer_id, total_coupons_used) values (%s, %s)",
        [customer, used],
    )


def compute(settings: Settings, store: ServingStore) -> None:
    async def work() -> None:
        metrics = LiveMetrics(CollectorRegistry())
        updater = Updater(settings, store, metrics, CountingModels)
        try:
            while await updater.update("store"):
                pass
        finally:
            updater.close()

    asyncio.run(work())


def test_a_coupon_just_used_counts_at_the_next_focus(
    new_shop: Shop, owner: psycopg.Connection, lone_worker: WorkerThread
) -> None:
    """From the till to the scorer, through the processes' own parts."""
    scorer, other = new_shop.scorer, 3
    asked: dict[str, Any] = {"customer_id": 2, "department": "Boys", "at": AT}

    def figures(customer: int = 2) -> tuple[Any, ...]:
        last = [
            one["customer"] for one in scorer.asked if one["customer"]["customer_id"] == customer
        ]
        return tuple(last[-1][name] for name in (COUPONS_USED, "total_items_bought"))

    for customer in (2, other):
        lone_worker.post("/mock_entry", {"id": str(customer), "ts": NOW})
    assert lone_worker.post("/v1/offers", asked).status_code == 200
    assert (figures(), len(scorer.asked)) == ((RELEASED, ITEMS), 2)

    order = {
        "customer_id": 2,
        "order_id": 77,
        "at": AT,
        "lines": [
            {"product_id": 101, "paid_price": 5, "original_price": 7.12, "coupon_id": 2},
            {"product_id": 102, "paid_price": 7.12},
        ],
    }
    assert lone_worker.post("/v1/purchases", order).status_code == 200
    compute(new_shop.settings, new_shop.store)
    # Within half a second, and at once where the worker hears of it.
    wait_for(
        lambda: (
            lone_worker.post("/v1/offers?dry_run=true", asked)
            and figures() == (RELEASED + 1, ITEMS + 2)
        )
    )
    count = len(scorer.asked)
    focus = lone_worker.post("/mock_focus", {"id": "2", "ts": NOW, "dep": "Boys"})
    assert focus.status_code == 200
    # Chosen by these figures, and so kept; whoever bought nothing keeps what was prepared.
    assert len(scorer.asked) == count
    lone_worker.post("/v1/offers", asked | {"customer_id": other})
    assert (len(scorer.asked), figures(other)) == (count, (RELEASED, ITEMS))

    # The release that holds the order says the same.
    shops.release_store(new_shop.store, 2)
    owner.execute(
        "update store__r2.customer_info set total_coupons_used = 3, total_items_bought = 14 "
        "where customer_id = 2"
    )
    ((last,),) = owner.execute("select max(number) from events.order_lines").fetchall()
    take_over(owner, new_shop.store, 2, last)
    wait_for(lambda: lone_worker.post("/v1/offers", asked).json()["release"] == 2)
    assert figures() == (RELEASED + 1, ITEMS + 2)
    assert owner.execute("select * from store__live.live_customers").fetchall() == []


def test_what_was_prepared_before_a_purchase_is_not_offered_after_it(
    store: ServingStore, owner: psycopg.Connection
) -> None:
    async def work() -> None:
        known = LiveDouble()
        desk, other = (Desk(store, live=known).know() for _ in range(2))
        await prepared(desk, 1)
        assert desk.scorer.customers[-1][COUPONS_USED] == RELEASED
        write(owner, 1, 5, used=7)
        # Nobody knows of it yet.
        assert desk.offers.is_prepared(event(1))
        known.revisions[1] = 5
        assert not desk.offers.is_prepared(event(1))
        assert desk.offers.ready(event(1, "Boys")) is None
        # Nor does another worker take it from the database.
        for one in (other, desk):
            await one.offers.choose(event(1, "Boys"))
            assert one.scorer.customers[-1][COUPONS_USED] == 7
        found = await prepared(desk, 1)
        assert found.revision == 5
        assert desk.offers.is_prepared(event(1))
        # What is as new as all that is known is taken from there.
        third = Desk(store, live=known).know()
        await third.offers.choose(event(1, "Boys"))
        assert third.scorer.asked == []
        for one in (desk, other, third):
            one.close()

    run(work)


def test_live_rows_that_come_while_scoring_are_not_taken_for_known(
    store: ServingStore, owner: psycopg.Connection
) -> None:
    async def work() -> None:
        known = LiveDouble()
        desk = Desk(store, live=known).know()
        score = desk.scorer.score

        async def meanwhile(*given: Any) -> tuple[str, list[tuple[int, float]]]:
            write(owner, 1, 5, used=7)
            known.revisions[1] = 5
            return await score(*given)

        desk.scorer.score = meanwhile
        await desk.offers.choose(event(1, "Boys"))
        assert desk.offers.ready(event(1, "Boys")) is None
        desk.scorer.score = score
        await desk.offers.choose(event(1, "Boys"))
        assert desk.scorer.customers[-1][COUPONS_USED] == 7
        assert desk.offers.ready(event(1, "Boys")) is not None
        desk.close()

    run(work)


def test_figures_are_never_of_a_release_that_lacks_what_live_rows_had(
    store: ServingStore, owner: psycopg.Connection
) -> None:
    """At a switch live rows go: a worker that does not know of the release yet waits for it."""

    async def work() -> None:
        known = LiveDouble()
        known.revisions[1] = 5
        desk = Desk(store, live=known).know()
        shops.release_store(store, 2)
        owner.execute("update store__r2.customer_info set total_coupons_used = 9")
        take_over(owner, store, 2, 1)
        choosing = asyncio.create_task(desk.offers.choose(event(1, "Boys")))
        done, _ = await asyncio.wait([choosing], timeout=0.5)
        assert not done
        assert desk.scorer.asked == []
        assert await desk.offers.explain(event(1, "Boys"), None) is None
        desk.know(Release("store", 2, None, "test"))
        await choosing
        assert desk.scorer.customers[-1][COUPONS_USED] == 9
        desk.close()

    run(work)


def test_who_has_live_rows_and_no_figures_any_more_is_unknown(
    store: ServingStore, owner: psycopg.Connection
) -> None:
    async def work() -> None:
        known = LiveDouble()
        known.revisions[1] = 5
        desk = Desk(store, live=known).know()
        write(owner, 1, 5, used=7)
        owner.execute("delete from store__live.customer_info")
        assert await desk.offers.choose(event(1, "Boys")) == Choice(reason="unknown customer")
        desk.close()

    run(work)


def test_nobody_who_bought_nothing_is_looked_for_in_live_rows(
    store: ServingStore, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        known = LiveDouble()
        known.revisions[2] = 5
        desk = Desk(store, live=known).know()
        fetch, asked = desk.database.fetch, list[str]()

        async def note(sql: str, *arguments: object) -> Any:
            asked.append(sql)
            return await fetch(sql, *arguments)

        monkeypatch.setattr(desk.database, "fetch", note)
        await desk.offers.choose(event(1, "Boys"))
        assert [sql for sql in asked if "customer_info" in sql] == [
            CUSTOMER.format(schema="store__r1")
        ]
        assert not any("__live" in sql for sql in asked)
        desk.close()

    run(work)
