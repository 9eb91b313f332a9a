"""Days in queries: asyncpg reads Python's first and last day as infinity."""

import asyncio
from datetime import date, datetime
from typing import Any

import pytest

from pollux.runtime.serving import ServingStore
from services.api.customer import repository as customer
from services.api.listing import Listing, list_sql
from services.api.queries import SQL_TYPES
from services.api.store import repository as store
from services.common.database import Database

LISTINGS = [
    listing
    for module in (customer, store)
    for listing in vars(module).values()
    if isinstance(listing, Listing)
]
DAY_FILTERS = [
    (listing, name)
    for listing in LISTINGS
    for name, condition in listing.filters.items()
    if "date" in condition and "is not null" not in condition
]


class Connection:
    """A connection that only notes what it is asked."""

    asked: tuple[object, ...] = ()

    def is_closed(self) -> bool:
        return False

    async def fetch(self, _sql: str, *arguments: object) -> list[Any]:
        self.asked = arguments
        return []


@pytest.mark.parametrize(
    "day",
    [
        date.min,
        date.max,
        datetime.fromisoformat("0001-01-01"),
        datetime.fromisoformat("9999-12-31"),
    ],
)
def test_a_day_is_sent_as_text(day: date, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection()

    async def take(_self: object) -> Connection:
        return connection

    monkeypatch.setattr(Database, "_take", take)
    monkeypatch.setattr(Database, "_give", lambda _self, _connection: None)
    url = "postgresql://nowhere/pollux"
    database = Database(ServingStore(url, url, "reader", None, None))
    asyncio.run(database.fetch("select", 7, day, None, "x"))
    assert connection.asked == (7, str(day), None, "x")


def test_every_query_takes_days_as_text() -> None:
    assert {SQL_TYPES[date], SQL_TYPES[datetime]} == {"text::date", "text::timestamp"}
    assert len(DAY_FILTERS) >= 5
    for listing, name in DAY_FILTERS:
        assert "::text::date" in list_sql(listing, "r1", listing.key[0], ((name, False),), None)
