"""A database, brokers and a scorer for tests of the event service; made once and reset for each."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pollux.runtime.broker import AMQTT, MOSQUITTO
from pollux.runtime.postgres import OWNER
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from services.events.database.migrate import prepare_database
from tests.services.events import asyncapi
from tests.services.events import support as shops
from tests.support.brokers import know_passwords, make_broker
from tests.support.programs import free_port, wait_for
from tests.support.servers import MANAGED, serving_database

NUMBERS = itertools.count(1)
SHOPS = ("shop", "any_shop", "shop_v5")
# More are of the same kind; each takes a millisecond.
MOST_CAPTURED = 1_000
TOPICS = ("pollux/coupon-prediction", "pollux/promo-code", "pollux/promo-code-line")
TOPIC_SETTINGS = {
    "ENTRY_EVENT_TOPIC_NAME": "entry",
    "FOCUS_EVENT_TOPIC_NAME": "focus",
    "COUPON_PREDICTION_TOPIC_NAME": "coupon-prediction",
    "LOYALTY_LIST_TOPIC_NAME": "loyalty-list",
    "CONVERSION_TOPIC_NAME": "conversion",
    "PURCHASE_TOPIC_NAME": "purchase",
    "PROMO_CODE_TOPIC_NAME": "promo-code",
    "PROMO_CODE_LINE_TOPIC_NAME": "promo-code-line",
    "RELEASE_TOPIC_NAME": "releases",
}
# The embedded server is of the newest version.
EMBEDDED, OTHERS = "embedded", ("oldest", MANAGED)
ON_OTHER_SERVERS = (
    "coupons/test_answers.py",
    "database/test_connection.py",
    "database/test_dead_letters.py",
    "database/test_event_keys.py",
    "database/test_inbox.py",
    "database/test_outbox.py",
    "database/test_retention.py",
    "loyalty/test_worker_rows.py",
    "purchases/test_rows.py",
    "test_leader.py",
    "test_worker.py",
)
KEPT_TABLES = ("identity", "migrations")
RESET = f"""
do $$
declare one record;
begin
    for one in
        select nspname from pg_namespace
        where nspname ~ '__r[0-9]+$' and nspname not in ('store__r1', 'loyalty__r1')
    loop execute format('drop schema %I cascade', one.nspname); end loop;
    for one in
        select tablename from pg_tables
        where schemaname = 'events' and tablename <> all ('{{{",".join(KEPT_TABLES)}}}')
    loop execute format('truncate events.%I restart identity cascade', one.tablename); end loop;
end $$;
update events.identity set id = gen_random_uuid();
delete from erasure.suppressed;
delete from release.current;
delete from release.webhook_messages;
delete from release.row_counts where number > 1;
delete from release.releases where number > 1;
insert into release.current (domain, number) values ('store', 1), ('loyalty', 1);
delete from loyalty__r1.members;
insert into loyalty__r1.members values ('{shops.MEMBERS[0]}');
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Lets the tests of what the service writes run on other servers, too, in `make endurance`."""
    place = metafunc.definition.path.relative_to(Path(__file__).parent).as_posix()
    if place in ON_OTHER_SERVERS and "shop_settings" in metafunc.fixturenames:
        others = [
            pytest.param(kind, marks=pytest.mark.endurance)
            for kind in OTHERS
            if kind != MANAGED or "sees_sessions" not in metafunc.fixturenames
        ]
        metafunc.parametrize("shop_settings", [EMBEDDED, *others], indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the database or a broker is no unit test."""
    here = Path(__file__).parent
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        # Where databases and brokers have their files.
        if here in item.path.parents and "short_tmp" in names:
            item.add_marker(pytest.mark.integration)


@dataclass
class Shop:
    """What a test of the event service talks to."""

    settings: Settings
    store: ServingStore
    scorer: shops.Scorer
    port: int
    folder: Path
    # The first part of every topic: a broker is shared, and remembers.
    prefix: str
    is_v5: bool = True

    def environment(self, **more: str) -> dict[str, str]:
        topics = {name: f"{self.prefix}/{topic}" for name, topic in TOPIC_SETTINGS.items()}
        return {
            "POLLUX_BROKER_PORT": str(self.port),
            "POLLUX_SCORING_URL": self.scorer.url,
            **topics,
            **more,
        }

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._run(statement).fetchall()

    def execute(self, statement: str) -> None:
        self._run(statement)

    def client(self) -> shops.Client:
        """Somebody who hears every answer."""
        return shops.Client(self.port, TOPICS, is_v5=self.is_v5, prefix=self.prefix)

    def _run(self, statement: str) -> psycopg.Cursor[tuple[Any, ...]]:
        url = self.store.owner_url
        for _ in range(2):
            if url not in CONNECTIONS:
                CONNECTIONS[url] = psycopg.connect(url, autocommit=True)
            try:
                return CONNECTIONS[url].execute(statement.encode())
            except psycopg.OperationalError:
                # A test may have ended the server since.
                CONNECTIONS.pop(url).close()
        raise AssertionError("the database does not answer")


CONNECTIONS: dict[str, psycopg.Connection] = {}


@pytest.fixture(scope="session")
def embedded_settings(short_tmp: Path) -> Iterator[Settings]:
    """An installation whose embedded database the tests share, one after the other."""
    # Its own fixture: to pytest, `shop_settings` with the parameter and without are two.
    with _installation(Settings(data_dir=short_tmp / "shops")) as settings:
        yield settings


@pytest.fixture(scope="session")
def shop_settings(request: pytest.FixtureRequest, short_tmp: Path) -> Iterator[Settings]:
    """The same on the server that a test asks for."""
    kind = getattr(request, "param", EMBEDDED)
    if kind == EMBEDDED:
        yield request.getfixturevalue("embedded_settings")
        return
    with (
        serving_database(kind) as urls,
        _installation(Settings(data_dir=short_tmp / f"shops-{kind}", **urls)) as settings,
    ):
        yield settings


@contextmanager
def _installation(settings: Settings) -> Iterator[Settings]:
    know_passwords(settings)
    store = open_serving_store(settings)
    with store.connect() as connection:
        prepare_database(connection, store)
    shops.release_store(store, 1)
    shops.release_members(store, 1)
    yield settings
    for connection in CONNECTIONS.values():
        connection.close()
    CONNECTIONS.clear()


@pytest.fixture
def store(shop_settings: Settings) -> ServingStore:
    """A database that knows its releases, and nothing else."""
    store = open_serving_store(shop_settings)
    with store.connect(autocommit=True) as connection:
        connection.execute(RESET.encode())
    return store


@pytest.fixture
def sees_sessions() -> None:
    """For tests whose owner sees and ends others' sessions, as he may not where it is managed."""


@pytest.fixture
def empty(store: ServingStore) -> Iterator[ServingStore]:
    """A database in which nothing is."""
    assert store.embedded is not None
    name = f"empty_{uuid4().hex}"
    with store.connect(autocommit=True) as connection:
        connection.execute(f"create database {name}")
        yield replace(store, owner_url=store.embedded.url(user=OWNER, database=name))
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def start_broker(short_tmp: Path) -> Iterator[Callable[[str], int]]:
    """Starts a broker once for all tests; returns its port, or skips where it is not installed."""
    ports: dict[str, int] = {}
    with ExitStack() as running:

        def start(program: str) -> int:
            if program not in ports:
                broker = make_broker(short_tmp / f"broker-{program}", program)
                running.enter_context(broker.running())
                ports[program] = broker.port
            return ports[program]

        yield start


@pytest.fixture
def scorer() -> Iterator[shops.Scorer]:
    """A scorer whose predictions are known."""
    one = shops.Scorer()
    yield one
    one.close()


@pytest.fixture
def new_shop(
    shop_settings: Settings, store: ServingStore, scorer: shops.Scorer, short_tmp: Path
) -> Shop:
    """A shop without a broker."""
    number = next(NUMBERS)
    folder = short_tmp / "shops" / f"shop{number}"
    folder.mkdir(parents=True)
    return Shop(shop_settings, store, scorer, free_port(), folder, f"shop{number}")


@pytest.fixture(params=[MOSQUITTO, AMQTT])
def shop(
    new_shop: Shop, start_broker: Callable[[str], int], request: pytest.FixtureRequest
) -> Shop:
    """A shop with a broker, of each kind that is here: what MQTT 3.1.1 allows."""
    new_shop.port = start_broker(request.param)
    new_shop.is_v5 = request.param == MOSQUITTO
    return new_shop


@pytest.fixture
def any_shop(new_shop: Shop, start_broker: Callable[[str], int]) -> Shop:
    """A shop with the broker that is always here, for what has little to do with brokers."""
    new_shop.port = start_broker(AMQTT)
    new_shop.is_v5 = False
    return new_shop


@pytest.fixture
def shop_v5(new_shop: Shop, start_broker: Callable[[str], int]) -> Shop:
    """A shop whose broker speaks MQTT 5, for what needs ids of events or several workers."""
    new_shop.port = start_broker(MOSQUITTO)
    return new_shop


def _one_shop(request: pytest.FixtureRequest) -> Shop:
    names = [name for name in SHOPS if name in request.fixturenames]
    found: Shop = request.getfixturevalue(names[0])
    return found


@pytest.fixture(autouse=True)
def described(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever tests hear from the service at a broker is as docs/asyncapi.yaml says.

    So is what they send it, but for what it sets aside.
    """
    if not set(SHOPS).intersection(request.fixturenames):
        yield
        return
    shop = _one_shop(request)
    shops.CAPTURED.clear()
    yield
    captured = shops.CAPTURED[:MOST_CAPTURED]
    sent = [one for one in captured if one.action == "send"]
    assert [problem for one in sent for problem in asyncapi.problems(one)] == []
    undescribed = [one for one in captured if one.action == "receive" and asyncapi.problems(one)]
    if undescribed:
        ((set_aside,),) = shop.rows("select count(*) from events.dead_letter")
        assert len(undescribed) <= set_aside, undescribed


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[shops.Client]:
    """Somebody at the shop's broker who hears every answer."""
    one = _one_shop(request).client()
    yield one
    one.close()


@pytest.fixture
def lone_worker(new_shop: Shop) -> Iterator[shops.WorkerThread]:
    """A worker without a broker, ready, and a shop of its own."""
    settings = new_shop.environment(TESTING_NO_MQTT="true")
    with shops.working(new_shop.settings, **settings) as one:
        yield one


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[shops.Worker]:
    """A worker of the shop that is ready."""
    found = _one_shop(request)
    with shops.working(found.settings, **found.environment()) as one:
        yield one


def decided(shop: Shop, count: int) -> None:
    """Waits until so many events are decided."""
    wait_for(lambda: shop.rows("select count(*) from events.decisions") == [(count,)])


def leave_behind(worker: shops.Worker, client: shops.Client, events: int) -> None:
    """Kills a worker, and sends events of which the broker keeps some for it."""
    worker.process.kill()
    worker.process.wait()
    for number in range(events):
        event = {"id": "1", "ts": shops.NOW, "dep": "Boys"}
        client.send("pollux/focus", event, f"while-away-{number}")
