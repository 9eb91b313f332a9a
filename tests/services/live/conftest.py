"""Installations whose releases can be answered live."""

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from tests.services.api.support import any_store
from tests.services.live.support import fill, release

NUMBERS = itertools.count(100, 100)


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[Settings, ServingStore]]:
    with any_store() as found:
        fill(found[1])
        yield found


@pytest.fixture
def first() -> int:
    """The number of a release; the next ten are free."""
    return next(NUMBERS)


@pytest.fixture
def owner(store: tuple[Settings, ServingStore], first: int) -> Iterator[psycopg.Connection]:
    """The store with that release, which can be answered live, and no event."""
    with store[1].connect(autocommit=True) as connection:
        found = connection.execute(
            "select nspname from pg_namespace where nspname ~ '^household__'"
        )
        for (schema,) in found.fetchall():
            connection.execute(f"drop schema {schema} cascade")
        connection.execute("delete from release.live")
        connection.execute("delete from live.followed")
        connection.execute("delete from release.current where domain = 'household'")
        connection.execute("delete from release.releases where domain = 'household'")
        connection.execute("delete from release.contracts where domain = 'household'")
        connection.execute(
            "truncate events.basket_lines, events.segment_changes, events.outbox restart identity"
        )
        connection.execute("delete from erasure.suppressed")
        release(connection, store[1], first, 0)
        yield connection
