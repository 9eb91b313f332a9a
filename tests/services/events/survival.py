"""A shop for tests of the event service: broker, database, scorer and workers of its own.

Belongs here: starting, stopping and killing them, sending and listening. Does not belong here:
assertions.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from pollux.runtime.broker import HOST, MOSQUITTO, find_mosquitto, stop
from pollux.runtime.serving import READER_ROLE, ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.services.events.stub_scorer import prediction
from tests.support.brokers import (
    MOSQUITTO_IS_MISSING,
    TESTER,
    know_passwords,
    make_broker,
)
from tests.support.programs import free_port

ENTRY, FOCUS = "pollux/entry", "pollux/focus"
LOYALTY, CONVERSION = "pollux/loyalty-list", "pollux/conversion"
PREDICTION = "pollux/coupon-prediction"
CODE, CODE_LINE = "pollux/promo-code", "pollux/promo-code-line"

# Of the offer's day; every event has a second of its own.
DAY = date(2024, 5, 14)
NOON = int(datetime(2024, 5, 14, 12, tzinfo=UTC).timestamp())
CUSTOMERS = 200
THRESHOLD = 0.2
# Girls have no coupon.
COUPONS = {"Boys": (1, 2), "Men": (3, 4), "Sport": (5, 6), "Women": (7, 8), "Girls": ()}
DEPARTMENTS = tuple(COUPONS)
ROWS = ", ".join(f"({number}, '{name}')" for name, numbers in COUPONS.items() for number in numbers)
DATA = f"""
create role {READER_ROLE} login;
create schema release;
create table release.current (
    domain text primary key, number integer not null, switched_at timestamptz not null
);
create table release.releases (
    domain text, number integer, released_at timestamptz, engine text, dbt_invocation text,
    git_commit text, rows bigint, seconds double precision, primary key (domain, number)
);
insert into release.releases
select domain, 1, now(), 'duckdb', '', '', 0, 0 from unnest(array['store', 'loyalty']) as domain;
insert into release.current select domain, 1, now() from release.releases;
create schema loyalty__r1;
create table loyalty__r1.members (email text primary key);
insert into loyalty__r1.members values ('old@example.com');
create schema store__r1;
create table store__r1.customer_info as
select
    customer_id::bigint, 'F' as gender, 40 as age, 20.00::numeric(18, 2) as mean_buy_price,
    3::bigint as total_coupons_used, 2.00::numeric(18, 2) as mean_discount_received,
    30::bigint as unique_products_bought, 3::bigint as unique_products_bought_with_coupons,
    50::bigint as total_items_bought
from generate_series(1, {CUSTOMERS}) as customer_id;
create table store__r1.coupon_info as
select
    coupon_id::bigint, 'buy_more' as coupon_type, department, 10 as discount,
    2 as how_many_products_required, date '2024-01-01' as start_date,
    date '2024-12-31' as end_date, 20.00::numeric(18, 2) as product_mean_price,
    1::bigint as products_available
from (values {ROWS}) as coupon (coupon_id, department);
create table store__r1.product_info as
select
    coupon_id * 100 as product_id, 'Shirt ' || coupon_id as name, department as category,
    'S, M' as sizes, 'Vendor' as vendor, 'Plain' as description,
    20.00::numeric(18, 2) as buy_price, department
from store__r1.coupon_info
union all
select 900, 'Shirt', 'Girls', 'S', 'Vendor', 'Plain', 20.00, 'Girls';
create table store__r1.coupon_product as
select coupon_id, coupon_id * 100 as product_id from store__r1.coupon_info;
alter table store__r1.customer_info add primary key (customer_id);
grant usage on schema release, store__r1, loyalty__r1 to {READER_ROLE};
grant select on all tables in schema release, store__r1, loyalty__r1 to {READER_ROLE};
"""
# Imports while another works, and starts when it is told.
WORKER = """
import sys
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings
from services.events.server import run
sys.stdin.readline()
try:
    run(Settings())
except PolluxError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
STEP_SECONDS = 0.05


def expected_coupon(customer_id: int, department: str) -> int | None:
    """The coupon that a customer must be offered."""
    best = max(
        COUPONS[department],
        key=lambda coupon: (prediction(customer_id, coupon), -coupon),
        default=None,
    )
    return best if best is not None and prediction(customer_id, best) > THRESHOLD else None


def eventually(
    condition: Callable[[], bool], *, seconds: float, what: Callable[[], object] | str
) -> None:
    """Waits until a condition holds; fails, saying what is missing, when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(STEP_SECONDS)


class Mosquitto:
    """An installation's own broker: what it has taken outlives a restart."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._broker = make_broker(folder, MOSQUITTO, port=self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = self._broker.start()

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)
            self._process = None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None


class Worker:
    """A process of the event service; it has its modules ready before it is told to start."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self.port = free_port()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", WORKER],
                env=environment | {"POLLUX_EVENTS_PORT": str(self.port)},
                cwd=PROJECT_DIR,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> "Worker":
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self

    def start_and_wait(self, *, seconds: float = 180) -> "Worker":
        self.start()
        eventually(self.is_ready, seconds=seconds, what=self.text)
        return self

    def is_ready(self) -> bool:
        assert self.is_running(), self.text()
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def number(self) -> int:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/readyz", timeout=30) as answer:
            return int(json.load(answer)["worker"])

    def is_running(self) -> bool:
        return self._process.poll() is None

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Asks it to end; returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Shop:
    """Database, broker and scorer; `worker` makes one more process of the service."""

    def __init__(self, data_dir: Path) -> None:
        self.broker = Mosquitto(data_dir / "broker")
        self.scoring_port = free_port()
        self.settings = Settings(data_dir=data_dir, database_url=None)
        know_passwords(self.settings)
        self.store: ServingStore = open_serving_store(self.settings)
        self.workers: list[Worker] = []
        self.clients: list[_Mqtt] = []
        with self.store.connect(autocommit=True) as connection:
            connection.execute(DATA)
        self.broker.start()
        self._scorer = subprocess.Popen(
            [sys.executable, "-m", "tests.services.events.stub_scorer", str(self.scoring_port)],
            cwd=PROJECT_DIR,
        )

    def worker(self, **more: str) -> Worker:
        named = ("MQTT_", "POLLUX_", "ENTRY_EVENT", "FOCUS_EVENT", "COUPON_PREDICTION", "TESTING_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(named)} | {
            "POLLUX_DATA_DIR": str(self.settings.data_dir),
            "POLLUX_BROKER_PORT": str(self.broker.port),
            "POLLUX_SCORING_PORT": str(self.scoring_port),
            "PYTHONPATH": str(PROJECT_DIR),
            **more,
        }
        log = self.settings.data_dir / f"worker{len(self.workers)}.log"
        self.workers.append(Worker(environment, log))
        return self.workers[-1]

    def sender(self) -> "Sender":
        sender = Sender(self.broker.port)
        self.clients.append(sender)
        return sender

    def listener(self, topics: Sequence[str]) -> "Listener":
        listener = Listener(self.broker.port, topics)
        self.clients.append(listener)
        return listener

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query; none while the database is away or its tables are not made."""
        try:
            with psycopg.connect(self.store.owner_url, autocommit=True) as connection:
                return connection.execute(sql.encode()).fetchall()
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return []

    def count(self, sql: str) -> int:
        rows = self.query(f"select count(*) {sql}")
        return int(rows[0][0]) if rows else -1

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for worker in self.workers:
            worker.kill()
        self._scorer.kill()
        self._scorer.wait()
        self.broker.stop()
        embedded = self.store.embedded
        assert embedded is not None
        embedded.stop()
        embedded.leave()
        shutil.rmtree(embedded.home, ignore_errors=True)


@contextmanager
def open_shop(data_dir: Path) -> Iterator[Shop]:
    if find_mosquitto() is None:
        pytest.skip(MOSQUITTO_IS_MISSING)
    shop = Shop(data_dir)
    try:
        yield shop
    finally:
        shop.close()


class Heard(NamedTuple):
    """A message on one of a listener's topics."""

    topic: str
    answer_id: str
    payload: bytes


class _Mqtt:
    """A client whose session stays with the broker, connected again whenever it is lost."""

    def __init__(self, port: int, name: str, login: tuple[str, str]) -> None:
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(0.1, 0.5)
        self._client.max_inflight_messages_set(200)
        self._client.max_queued_messages_set(0)
        self._connected = threading.Event()
        self._client.on_connect = self._on_connect
        self._prepare()
        self._client.username_pw_set(*login)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect(HOST, port, 60, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._connected.wait(10), f"{name} is not connected"

    def _prepare(self) -> None:
        """Sets what must be known before the connection."""

    def _on_connect(self, *_: object) -> None:
        self._connected.set()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Sender(_Mqtt):
    """Sends with QoS 1, again until the broker acknowledges it."""

    def __init__(self, port: int, login: tuple[str, str] = TESTER) -> None:
        self.sent = 0
        self.acknowledged = 0
        # By the number of the message, when the broker had it.
        self.acknowledged_at: dict[int, float] = {}
        super().__init__(port, "test-sender", login)

    def _prepare(self) -> None:
        self._client.on_publish = self._on_publish

    def _on_publish(self, _client: Client, _userdata: object, number: int, *_: object) -> None:
        self.acknowledged += 1
        self.acknowledged_at[number] = time.time()

    def send(self, topic: str, payload: bytes, event_id: str | None = None) -> int:
        """Sends a message; returns its number."""
        properties = Properties(PacketTypes.PUBLISH)
        if event_id is not None:
            properties.UserProperty = ("event-id", event_id)
        self.sent += 1
        return self._client.publish(topic, payload, qos=1, properties=properties).mid

    def wait(self, *, seconds: float = 60) -> None:
        """Waits until the broker has everything."""
        eventually(
            lambda: self.acknowledged == self.sent,
            seconds=seconds,
            what=lambda: f"{self.acknowledged} of {self.sent} messages are acknowledged",
        )


class Listener(_Mqtt):
    """Collects what is published; what comes while it is away waits in its session."""

    def __init__(self, port: int, topics: Sequence[str], login: tuple[str, str] = TESTER) -> None:
        self.heard: list[Heard] = []
        self._topics = topics
        self._subscribed = threading.Event()
        super().__init__(port, "test-listener", login)
        assert self._subscribed.wait(10)

    def _prepare(self) -> None:
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()

    def _on_connect(self, *_: object) -> None:
        super()._on_connect()
        self._client.subscribe([(topic, 1) for topic in self._topics])

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        pairs = getattr(message.properties, "UserProperty", ())
        answer = next(value for name, value in pairs if name == "answer-id")
        self.heard.append(Heard(message.topic, answer, message.payload))

    def ids(self) -> set[str]:
        return {one.answer_id for one in list(self.heard)}
