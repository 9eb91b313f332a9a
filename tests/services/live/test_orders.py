"""Orders that a later event gives to another customer: whom it concerns, and from which rows."""

import asyncio

import pyarrow as pa
import pytest

from pollux.runtime.serving import ServingStore
from services.events.database.connection import connect_to_write
from services.events.database.migrate import prepare_database
from services.live import repository
from services.live.repository import Purchaser
from tests.services.api.support import embedded_store
from tests.support.live_events import take_in

pytestmark = pytest.mark.integration


async def read(store: ServingStore, after: int) -> tuple[list[Purchaser], pa.Table]:
    connection = await connect_to_write(store, {})
    try:
        new = await repository.read_new(connection, "store", after, 100)
        keys = [one.key for one in new]
        return new, await repository.read_lines(connection, "store", keys, "UTC")
    finally:
        connection.terminate()


def test_an_order_that_is_given_to_another_customer_concerns_both() -> None:
    with embedded_store() as (_, store):
        with store.connect() as connection:
            prepare_database(connection, store)
        with store.connect(autocommit=True) as connection:
            rows = [(10, 7), (11, 9), (10, 8), (12, 7)]
            take_in(
                connection,
                "order_lines",
                [{"order_id": order, "customer_id": customer} for order, customer in rows],
            )
        new, _ = asyncio.run(read(store, 0))
        assert {one.key: one.number for one in new} == {9: 2, 8: 3, 7: 4}

        new, lines = asyncio.run(read(store, 2))
        assert {one.key: one.number for one in new} == {8: 3, 7: 4}
        assert lines["number"].to_pylist() == [1, 3, 4]
        # No release takes the row of 7 away that does not hold what 8 was given.
        assert repository.last_events("store", [7, 8], lines) == {7: 4, 8: 3}
        assert repository.last_events("store", [7], lines.slice(0, 2)) == {7: 3}
