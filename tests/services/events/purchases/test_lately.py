"""Purchases of the last hour, and which of them wait for live rows."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import uuid4

import psycopg
import pytest

from pollux.runtime.locks import LockSpace
from services.events.database.connection import DatabaseWriter
from services.events.purchases import lately
from services.events.purchases.lately import Lately, Look, PurchasesLately
from services.events.purchases.schemas import LatestPurchases
from tests.services.api.support import problem
from tests.services.events.conftest import Shop
from tests.services.events.purchases.test_rows import BASKET, ORDER
from tests.services.events.support import WorkerThread
from tests.support.live_events import take_in

PATH = "/v1/purchases"
T = TypeVar("T")
Count = Callable[[], Awaitable[Look]]


@dataclass
class Till:
    """Takes purchases in at moments of its choice; `now` is in the middle of this minute."""

    owner: psycopg.Connection
    now: datetime

    def buy(self, *values: str, minutes_ago: int = 0) -> int:
        """Takes in a basket of lines with these values; returns the number of its last line."""
        at = self.now - timedelta(minutes=minutes_ago)
        shared = {"event_key": uuid4(), "received_at": at}
        rows = [{"line": line, "sales_value": one} for line, one in enumerate(values, start=1)]
        take_in(self.owner, "basket_lines", [shared | row for row in rows])
        ((number,),) = self.owner.execute("select max(number) from events.basket_lines").fetchall()
        return int(number)

    def follow(self, number: int) -> None:
        """Has everything up to a number in live rows."""
        self.owner.execute("delete from live.followed")
        self.owner.execute("insert into live.followed values ('household', 1, %s)", [number])


@pytest.fixture
def till(new_shop: Shop) -> Iterator[Till]:
    with new_shop.store.connect(autocommit=True) as connection:
        connection.execute("delete from live.followed")
        yield Till(connection, datetime.now(UTC).replace(second=30, microsecond=0))
        connection.execute("delete from live.followed")


def looking(shop: Shop, scenario: Callable[[Count], Awaitable[T]]) -> T:
    """What a scenario returns that looks several times, as one process does."""

    async def run() -> T:
        writer = DatabaseWriter(shop.store, durable=False)
        try:
            return await scenario(PurchasesLately(writer).look)
        finally:
            writer.close()

    return asyncio.run(run())


def of(look: Look, domain: str = "household") -> Lately:
    return next(one for one in look.domains if one.domain == domain)


def counted(look: Look, domain: str = "household") -> list[tuple[int, Decimal]]:
    return [(one.purchases, one.value) for one in of(look, domain).minutes]


def test_purchases_are_counted_by_minute_and_once(new_shop: Shop, till: Till) -> None:
    async def scenario(look: Count) -> None:
        assert [counted(await look(), domain) for domain in ("household", "store")] == [[], []]
        till.buy("1.50", "2.25", minutes_ago=2)
        till.buy("10.00")
        till.buy("99.00", minutes_ago=120)
        take_in(till.owner, "order_lines", [{"paid_price": "7.12", "received_at": till.now}])
        for _ in range(2):
            found = await look()
            assert counted(found) == [(1, Decimal("3.75")), (1, Decimal("10.00"))]
            assert counted(found, "store") == [(1, Decimal("7.12"))]
        till.buy("0.01", "0.02", "0.03")
        found = await look()
        assert counted(found) == [(1, Decimal("3.75")), (2, Decimal("10.06"))]
        minute = till.now.replace(second=0)
        assert [one.minute for one in of(found).minutes] == [minute - timedelta(minutes=2), minute]
        assert timedelta(hours=1) <= found.at - of(found).since < timedelta(minutes=61)

    looking(new_shop, scenario)


def test_minutes_older_than_asked_are_forgotten() -> None:
    counts = lately._Counts()
    minute = datetime(2026, 11, 27, 14, 3, tzinfo=UTC)
    row = {"minute": minute, "purchases": 1, "value": Decimal(1), "lines": 1, "number": 1}
    counts.add([row], minute)  # type: ignore[list-item]
    assert list(counts.minutes) == [minute]
    counts.add([], minute + timedelta(minutes=1))
    assert counts.minutes == {}


def test_of_more_than_one_look_reads_it_says_since_when_they_are_counted(
    new_shop: Shop, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lately, "MOST_LINES", 3)

    async def scenario(look: Count) -> None:
        till.buy("1.00", minutes_ago=9)
        assert counted(await look()) == [(1, Decimal(1))]
        for minutes in (5, 4, 3, 2):
            till.buy("1.00", minutes_ago=minutes)
        found = await look()
        # What was known of before does not reach up to them.
        assert counted(found) == [(1, Decimal(1))] * 3
        assert of(found).since == till.now - timedelta(minutes=4)
        till.buy("1.00")
        assert len(counted(await look())) == 4

    looking(new_shop, scenario)


def test_a_database_of_before_is_counted_anew(new_shop: Shop, till: Till) -> None:
    async def scenario(look: Count) -> None:
        till.buy("1.00")
        till.buy("1.00")
        assert counted(await look()) == [(2, Decimal(2))]
        till.owner.execute("truncate events.basket_lines restart identity")
        till.buy("5.00")
        assert counted(await look()) == [(1, Decimal(5))]

    looking(new_shop, scenario)


def test_purchases_wait_until_live_rows_have_them(new_shop: Shop, till: Till) -> None:
    async def scenario(look: Count) -> None:
        first = till.buy("1.00", minutes_ago=3)
        last = till.buy("1.00", "2.00", minutes_ago=1)
        found = of(await look())
        assert (found.waiting, found.waiting_seconds) == (None, None)
        till.follow(0)
        assert of(await look()).waiting == 2
        till.follow(first)
        look_ = await look()
        assert of(look_).waiting == 1
        waits = look_.at - till.now + timedelta(minutes=1)
        assert of(look_).waiting_seconds == pytest.approx(waits.total_seconds(), abs=5)
        # Of one whose first line is in live rows a rest waits.
        till.follow(last - 1)
        found = of(await look())
        assert found.waiting == 0
        assert found.waiting_seconds
        till.follow(last)
        found = of(await look())
        assert (found.waiting, found.waiting_seconds) == (0, 0)

    looking(new_shop, scenario)


def test_it_tells_whether_anybody_computes(new_shop: Shop, till: Till) -> None:
    async def scenario(look: Count) -> list[bool]:
        before = (await look()).is_computed
        till.owner.execute(f"select pg_advisory_lock({LockSpace.LIVE}, 0)".encode())
        during = (await look()).is_computed
        till.owner.execute(f"select pg_advisory_unlock({LockSpace.LIVE}, 0)".encode())
        # Another lock is not that.
        till.owner.execute(f"select pg_advisory_lock({LockSpace.PURCHASES}, 0)".encode())
        return [before, during, (await look()).is_computed]

    assert looking(new_shop, scenario) == [False, True, False]


def test_it_is_answered_over_http(new_shop: Shop, till: Till, lone_worker: WorkerThread) -> None:
    assert lone_worker.post(PATH, BASKET).status_code == 200
    assert lone_worker.post(PATH, ORDER).status_code == 200
    till.follow(0)
    answer = lone_worker.get(PATH)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    found = LatestPurchases.model_validate(answer.json())
    assert found.is_computed is False
    baskets, orders = found.data
    assert [sum(m.purchases for m in one.minutes) for one in (baskets, orders)] == [1, 1]
    assert sum(m.value for m in baskets.minutes) == BASKET["lines"][0]["sales_value"]
    assert (baskets.waiting, orders.waiting) == (1, None)
    refused = problem(lone_worker.get(f"{PATH}?limit=3"), 422, "invalid-input")
    assert "limit" in refused["detail"]


def test_without_the_table_it_says_that_the_database_is_away(
    new_shop: Shop, lone_worker: WorkerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.events.answering.SECONDS", 0.3)
    with new_shop.store.connect() as connection:
        connection.execute("lock table events.basket_lines in access exclusive mode")
        problem(lone_worker.get(PATH), 503, "database-unavailable")
