"""Days in queries: asyncpg makes infinity of the first and the last that Python has."""

import asyncio
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from services.api.customer import repository as customer
from services.api.queries import Listing, list_sql
from services.api.store import repository as store

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


class Asked:
    """A database that only notes what it is asked."""

    def __init__(self) -> None:
        self.arguments: tuple[object, ...] = ()

    async def fetch(self, _sql: str, *arguments: object) -> list[Any]:
        self.arguments = arguments
        return []


@pytest.mark.parametrize("day", [date.min, date.max, date(2024, 1, 5)])
@pytest.mark.parametrize(("listing", "name"), DAY_FILTERS, ids=str)
def test_a_day_is_sent_as_text(listing: Listing[Any], name: str, day: date) -> None:
    asked = Asked()
    query = SimpleNamespace(
        limit=10, next=None, model_dump=lambda **_: {name: day}, sort=listing.key[0]
    )
    release = SimpleNamespace(schema="r1")
    within = 1 if listing.within else None
    read: Any = listing.read
    asyncio.run(read(asked, release, query, within))
    assert not [argument for argument in asked.arguments if isinstance(argument, date)]
    assert day.isoformat() in asked.arguments


def test_the_queries_take_days_as_text() -> None:
    assert len(DAY_FILTERS) >= 5
    for listing, name in DAY_FILTERS:
        assert "::text::date" in list_sql(listing, "r1", listing.key[0], (name,), None)
    dated = [one for one in LISTINGS if "start_date" in one.mart.document.model_fields]
    for listing in dated:
        assert "::text::date" in list_sql(listing, "r1", "start_date", (), True)
