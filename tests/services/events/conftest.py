"""A shop with a broker and a database of its own, for a module of tests."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pollux.runtime.broker import find_mosquitto
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from tests.services.events import support as shops

NUMBERS = itertools.count(1)
TOPICS = ("pollux/coupon-prediction", "pollux/promo-code", "pollux/promo-code-line")


@dataclass
class Shop:
    """What a test of the event service talks to."""

    settings: Settings
    store: ServingStore
    scorer: shops.Scorer
    port: int
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "POLLUX_BROKER_PORT": str(self.port),
            "POLLUX_SCORING_URL": self.scorer.url,
            **more,
        }

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.store.owner_url) as connection:
            return connection.execute(statement.encode()).fetchall()

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.store.owner_url) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def shop_settings(short_tmp: Path) -> Settings:
    """An installation whose database the tests share, one after the other."""
    return Settings(data_dir=short_tmp / "shops")


@pytest.fixture
def new_shop(shop_settings: Settings, short_tmp: Path) -> Iterator[Shop]:
    """A shop whose broker is not started, and whose database knows nothing but its releases."""
    if find_mosquitto() is None:
        pytest.skip("Mosquitto is not installed")
    folder = short_tmp / "shops" / f"shop{next(NUMBERS)}"
    folder.mkdir(parents=True)
    store = open_serving_store(shop_settings)
    with store.connect() as connection:
        schemas = connection.execute(
            "select nspname from pg_namespace where nspname ~ '__r[0-9]+$' "
            "or nspname in ('events', 'release')"
        )
        for (schema,) in schemas.fetchall():
            connection.execute(f"drop schema {schema} cascade")
    shops.release_store(shop_settings, 1)
    shops.release_members(shop_settings, 1)
    scorer = shops.Scorer()
    yield Shop(shop_settings, store, scorer, shops.free_port(), folder)
    scorer.close()


@pytest.fixture
def shop(new_shop: Shop) -> Iterator[Shop]:
    """A shop with its broker."""
    with shops.broker(new_shop.folder / "broker", new_shop.port):
        yield new_shop


@pytest.fixture
def client(shop: Shop) -> Iterator[shops.Client]:
    """Somebody at the shop's broker who hears every answer."""
    one = shops.Client(shop.port, TOPICS)
    yield one
    one.close()


@pytest.fixture
def worker(shop: Shop) -> Iterator[shops.Worker]:
    """A worker of the shop that is ready."""
    with shops.working(shop.settings, **shop.environment()) as one:
        yield one


def decided(shop: Shop, count: int) -> None:
    """Waits until so many events are decided."""
    shops.wait_for(lambda: shop.rows("select count(*) from events.decisions") == [(count,)])


def leave_behind(worker: shops.Worker, client: shops.Client, events: int) -> None:
    """Kills a worker, and sends events of which the broker keeps some for it."""
    worker.process.kill()
    worker.process.wait()
    for number in range(events):
        event = {"id": "1", "ts": shops.NOW, "dep": "Boys"}
        client.send("pollux/focus", event, f"while-away-{number}")
