"""The purchase handler, without a broker: each event once, in order, whole, and for good."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from pollux.runtime.serving import ServingStore
from services.common.problems import ProblemError
from services.events.database.connection import DatabaseWriter
from services.events.metrics import EventMetrics
from services.events.purchases.handler import PurchaseHandler
from services.events.purchases.rows import read_purchase
from tests.services.events.doubles import (
    ReceiptDouble,
    connect,
    keep_out,
    message,
    run,
    until,
    until_row,
)
from tests.services.events.purchases.test_rows import BASKET, ORDER

TOPIC = "shop/purchase"
BASKETS = (
    "select household_key, basket_id, line, product_id from events.basket_lines order by number"
)


def basket(household: int, *products: int, **more: Any) -> dict[str, Any]:
    lines = [BASKET["lines"][0] | {"product_id": one} for one in products]
    return BASKET | {"household_key": household, "lines": lines} | more


class Desk:
    """A handler with a real database; `send` hands a message over as a connection does."""

    def __init__(self, store: ServingStore, worker: str = "w1") -> None:
        self.writer = DatabaseWriter(store, durable=True)
        self.registry = CollectorRegistry()
        self.handler = PurchaseHandler(
            writer=self.writer,
            metrics=EventMetrics(self.registry),
            worker=worker,
            zone=ZoneInfo("Europe/Berlin"),
            topic=TOPIC,
        )

    def send(self, document: object, event_id: str | None = None) -> ReceiptDouble:
        one, receipt = message(TOPIC, json.dumps(document).encode(), event_id)
        self.handler.handle("purchase", one)
        return receipt

    async def take(self, document: object) -> bool:
        """Takes a purchase as over HTTP; returns whether it is repeated."""
        taken = await self.handler.take(read_purchase(json.dumps(document).encode()))
        return taken.is_repeated

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"pollux_events_{name}_total", {"kind": "purchase"})

    @asynccontextmanager
    async def working(self, store: ServingStore) -> AsyncIterator[asyncpg.Connection]:
        task = asyncio.create_task(self.handler.run())
        connection = await connect(store)
        try:
            yield connection
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await connection.close()
            self.writer.close()


async def rows(connection: asyncpg.Connection, sql: str = BASKETS) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(sql)]


def test_each_event_has_one_effect_over_both_doors(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store)
        named = basket(1, 14, 15)
        receipts = [desk.send(named, "one"), desk.send(named, "one"), desk.send(ORDER)]
        async with desk.working(store) as connection:
            await until(lambda: all(one.count == 1 for one in receipts))
            assert await rows(connection) == [(1, 9001, 1, 14), (1, 9001, 2, 15)]
            assert await desk.take(named | {"event_id": "one"}) is True
            assert await desk.take(named | {"event_id": "two"}) is False
            # The message itself may say its id, where MQTT has no properties.
            again = desk.send(named | {"event_id": "two"})
            await until(lambda: again.count)
            # Its key is deleted in time; what it led to is not.
            await connection.execute("truncate events.inbox")
            assert await desk.take(named | {"event_id": "one"}) is True
            assert len(await rows(connection)) == 4
            orders = "select order_id, customer_id, product_id, paid_price from events.order_lines"
            assert [(*map(str, row),) for row in await rows(connection, orders)] == [
                ("77", "2", "101", "7.12")
            ]
            assert desk.metric("repeated") == 4
            # Messages of the broker only.
            assert desk.metric("received") == 4

    run(work)


def test_an_id_of_another_purchase_is_refused(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store)
        async with desk.working(store) as connection:
            assert await desk.take(basket(1, 14, event_id="one")) is False
            for other in (basket(2, 14), basket(1, 14, 15), ORDER):
                with pytest.raises(ProblemError) as caught:
                    await desk.take(other | {"event_id": "one"})
                assert caught.value.status == 409
            assert await rows(connection) == [(1, 9001, 1, 14)]

    run(work)


def test_what_cannot_be_read_is_kept_and_others_go_on(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store)
        receipts = [desk.send(one) for one in (basket(1, 14), {"basket_id": 1}, basket(2, 14))]
        async with desk.working(store) as connection:
            await until(lambda: all(one.count == 1 for one in receipts))
            assert [row[0] for row in await rows(connection)] == [1, 2]
            key, reason = await connection.fetchrow(
                "select event_key, reason from events.dead_letter where kind = 'purchase'"
            )
            assert reason == "basket.household_key: Field required"
            desk.handler.replay(key, "purchase", TOPIC, json.dumps(basket(3, 14)).encode())
            resolved = "select count(*) from events.dead_letter where resolved_at is not null"
            await until_row(connection, resolved, 1)
            assert [row[0] for row in await rows(connection)] == [1, 2, 3]

    run(work)


def test_an_event_is_no_repetition_of_a_message_that_could_not_be_read(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store)
        desk.send({"basket_id": 1}, "one")
        taking = asyncio.create_task(desk.take(basket(1, 14, event_id="one")))
        await asyncio.sleep(0)
        async with desk.working(store):
            assert await taking is False
            assert desk.metric("repeated") == 0

    run(work)


def test_one_that_the_database_refuses_holds_up_no_other(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store)
        async with desk.working(store) as connection:
            await connection.execute(
                "alter table events.basket_lines add constraint odd check (household_key <> 2)"
            )
            try:
                receipts = [desk.send(basket(one, 14)) for one in (1, 2, 3)]
                with pytest.raises(ProblemError) as caught:
                    await desk.take(basket(2, 15))
                assert caught.value.status == 500
                await until(lambda: all(one.count == 1 for one in receipts))
                assert [row[0] for row in await rows(connection)] == [1, 3]
                reasons = await rows(connection, "select distinct reason from events.dead_letter")
                assert reasons == [("the database refuses it: CheckViolationError",)]
            finally:
                await connection.execute("alter table events.basket_lines drop constraint odd")

    run(work)


def test_of_somebody_who_was_erased_nothing_is_kept(store: ServingStore) -> None:
    keep_out(store, "household", "1")
    keep_out(store, "customer", "2")

    async def work() -> None:
        desk = Desk(store)
        async with desk.working(store) as connection:
            assert await desk.take(basket(1, 14, event_id="one")) is False
            assert await desk.take(basket(1, 14, event_id="one")) is True
            receipts = [desk.send(ORDER), desk.send(basket(2, 14)), desk.send(basket(1, 14, x=1))]
            await until(lambda: all(one.count == 1 for one in receipts))
            assert await rows(connection) == [(2, 9001, 1, 14)]
            assert await rows(connection, "select * from events.order_lines") == []
            dead = await rows(connection, "select payload, is_whole from events.dead_letter")
            assert dead == [(b"", False)]

    run(work)


def test_rows_of_an_event_follow_one_another_whoever_writes(store: ServingStore) -> None:
    """A part of a basket would land where another worker's rows had numbers between them."""

    async def work() -> None:
        desks = [Desk(store, f"w{number}") for number in range(3)]
        async with (
            desks[0].working(store) as connection,
            desks[1].working(store),
            desks[2].working(store),
        ):
            for place in range(40):
                for number, desk in enumerate(desks):
                    desk.send(basket(number, 1, 2, 3, basket_id=place))
                await asyncio.sleep(0)
            await until_row(connection, "select count(*) from events.basket_lines", 360)
            torn = """
            select count(*) from (
                select max(number) - min(number) as span from events.basket_lines group by event_key
            ) as event where span <> 2
            """
            assert await connection.fetchval(torn) == 0
            for number in range(3):
                of_one = f"select basket_id from ({BASKETS}) as line where household_key = {number}"
                found = [basket_id for (basket_id,) in await rows(connection, of_one)]
                assert found == [place for place in range(40) for _ in range(3)]

    run(work)


def test_what_nobody_waits_for_any_more_does_not_replace_what_came_since(
    store: ServingStore,
) -> None:
    async def work() -> None:
        desk = Desk(store)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await desk.take(basket(1, 14))
        async with desk.working(store) as connection:
            assert await desk.take(basket(1, 15)) is False
            assert await rows(connection) == [(1, 9001, 1, 15)]

    run(work)


def test_what_came_over_http_stays_when_the_broker_goes(store: ServingStore) -> None:
    async def work() -> None:
        desk = Desk(store)
        dropped = desk.send(basket(1, 14))
        taking = asyncio.create_task(desk.take(basket(2, 14)))
        await asyncio.sleep(0)
        desk.handler.drop()
        async with desk.working(store) as connection:
            assert await taking is False
            assert dropped.count == 0
            assert [row[0] for row in await rows(connection)] == [2]

    run(work)
