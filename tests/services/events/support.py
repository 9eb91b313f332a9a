"""A small shop for tests of the event service: release, scorer, broker, worker, clients.

The predictions are made up here (`prediction`), so that a test can say by hand what is best.
"""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psycopg
import pytest
import uvicorn
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from orchestration.release.registry import prepare_store
from pollux.runtime.broker import find_mosquitto
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from services.common.server import configure
from services.events.app import create_app
from services.events.database.migrate import prepare_database
from services.events.settings import MqttSettings, read_mqtt_settings
from tests.conftest import PROJECT_DIR
from tests.services.events.asyncapi import Captured
from tests.support.brokers import MOSQUITTO_IS_MISSING, TESTER
from tests.support.programs import free_port, is_open, running, wait_for

# Noon in October: the coupons below are valid then, unless they say otherwise.
NOW = 1_760_000_000
TODAY = date(2025, 10, 9)
SECONDS = 30.0

# id, type, department, percent, items to buy, first day, last day, products
COUPONS: Sequence[tuple[int, str, str, int, int, str, str, Sequence[int]]] = (
    (1, "buy_more", "Boys", 10, 3, "2025-01-01", "2025-12-31", [101]),
    (2, "buy_all", "Boys", 20, 2, "2025-01-01", "2025-12-31", [101, 102]),
    (3, "department", "Sport", 5, 7, "2025-01-01", "2025-12-31", [301, 302]),
    (4, "just_discount", "Sport", 30, 9, "2025-10-10", "2025-12-31", [301]),
    (5, "just_discount", "Girls", 15, 1, "2025-10-09", "2025-10-09", [201]),
    (6, "just_discount", "Men", 15, 1, "2024-01-01", "2024-12-31", [401]),
    (7, "just_discount", "Women", 15, 1, "2025-01-01", "2025-12-31", [501]),
)
PRODUCTS = {
    101: "Boys", 102: "Boys", 201: "Girls", 301: "Sport", 302: "Sport", 401: "Men", 501: "Women",
}  # fmt: skip
DEPARTMENTS = ("Boys", "Girls", "Men", "Sport", "Women")
CUSTOMERS = range(1, 13)
MEMBERS = ("released@shop.example",)

TABLES = """
create schema {schema};
create table {schema}.coupon_info (
    coupon_id bigint primary key, coupon_type text, department text, discount integer,
    how_many_products_required integer, start_date date, end_date date,
    product_mean_price decimal(18, 2), products_available bigint
);
create table {schema}.product_info (
    product_id bigint primary key, name text, category text, sizes text, vendor text,
    description text, buy_price decimal(18, 2), department text
);
create table {schema}.coupon_product (coupon_id bigint, product_id bigint);
create table {schema}.customer_info (
    customer_id bigint primary key, gender text, age integer, mean_buy_price decimal(18, 2),
    total_coupons_used bigint, mean_discount_received decimal(18, 2),
    unique_products_bought bigint, unique_products_bought_with_coupons bigint,
    total_items_bought bigint
);
"""


def prediction(model: str, customer: int, coupon: int) -> float:
    """What the scorer of these tests says: 0 to .99, another for every model."""
    return (customer * 37 + coupon * 59 + len(model) * 23) % 100 / 100


def release_store(
    store: ServingStore, number: int, coupons: Sequence[tuple[Any, ...]] = COUPONS
) -> None:
    """Makes release `number` of the store the current one."""
    schema = f"store__r{number}"
    with store.connect() as connection:
        prepare_store(connection, store)
        connection.execute(TABLES.format(schema=schema).encode())
        with connection.cursor() as cursor:
            cursor.executemany(
                f"insert into {schema}.coupon_info values (%s, %s, %s, %s, %s, %s, %s, 9.5, %s)",
                [(*coupon[:7], len(coupon[7])) for coupon in coupons],
            )
            cursor.executemany(
                f"insert into {schema}.product_info values "
                "(%s, %s, 'Shirts', 'S-XL', 'TinyCottons', 'A shirt', 7.12, %s)",
                [(product, f"Shirt {product}", name) for product, name in PRODUCTS.items()],
            )
            cursor.executemany(
                f"insert into {schema}.coupon_product values (%s, %s)",
                [(coupon[0], product) for coupon in coupons for product in coupon[7]],
            )
            cursor.executemany(
                f"insert into {schema}.customer_info values (%s, 'F', 40, 17.35, 2, 2.5, 9, 1, 12)",
                [(customer,) for customer in CUSTOMERS],
            )
        switch(connection, "store", number, store.reader_role)


def release_members(store: ServingStore, number: int, members: Sequence[str] = MEMBERS) -> None:
    """Makes release `number` of the loyalty domain the current one."""
    with store.connect() as connection:
        prepare_store(connection, store)
        connection.execute(f"create schema loyalty__r{number}")
        connection.execute(f"create table loyalty__r{number}.members (email text primary key)")
        with connection.cursor() as cursor:
            sql = f"insert into loyalty__r{number}.members values (%s)"
            cursor.executemany(sql, [(email,) for email in members])
        switch(connection, "loyalty", number, store.reader_role)


def switch(connection: psycopg.Connection, domain: str, number: int, reader: str) -> None:
    connection.execute(
        "insert into release.releases (domain, number, engine, dbt_invocation, rows, seconds) "
        "values (%s, %s, 'duckdb', 'test', 1, 1) on conflict do nothing",
        [domain, number],
    )
    connection.execute(f"grant usage on schema {domain}__r{number} to {reader}")
    connection.execute(f"grant select on all tables in schema {domain}__r{number} to {reader}")
    connection.execute(
        "insert into release.current (domain, number) values (%s, %s) "
        "on conflict (domain) do update set number = excluded.number",
        [domain, number],
    )
    connection.execute("notify release")


EXPLANATION = {
    "base": -1.5,
    "contributions": [{"feature": "age", "value": 40, "added": 0.5, "words": "the customer's age"}],
}


class Scorer:
    """A scorer whose predictions are known; `model` can be changed, None is none yet."""

    def __init__(self) -> None:
        self.model: str | None = "m1"
        self.asked: list[dict[str, Any]] = []
        self.is_closed = False
        # Takes requests, and does not answer.
        self.is_hanging = False
        scorer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                scorer.asked.append(body)
                customer = body["customer"]["customer_id"]
                found = [
                    {
                        "coupon_id": coupon["coupon_id"],
                        "customer_id": customer,
                        "prediction": prediction(scorer.model or "", customer, coupon["coupon_id"]),
                    }
                    for coupon in body["coupons"]
                ]
                if self.path.endswith("?explain=true"):
                    found = [one | {"explanation": EXPLANATION} for one in found]
                self._answer(sorted(found, key=lambda one: -one["prediction"]))

            def _answer(self, document: object) -> None:
                while scorer.is_hanging:
                    time.sleep(0.1)
                if scorer.is_closed:
                    self.close_connection = True
                    return
                content = json.dumps(document).encode()
                kind = "application/json" if scorer.model else "application/problem+json"
                self.send_response(200 if scorer.model else 503)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                if scorer.model:
                    self.send_header("X-Pollux-Model", scorer.model)
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.is_closed = True
        self._server.shutdown()
        self._server.server_close()


def best(
    customer: int, department: str, day: date, model: str = "m1", threshold: float = 0.2
) -> int | None:
    """The coupon to offer, by looking at every one of them."""
    candidates = [
        (prediction(model, customer, coupon[0]), -coupon[0])
        for coupon in COUPONS
        if coupon[2] == department
        and date.fromisoformat(coupon[5]) <= day <= date.fromisoformat(coupon[6])
    ]
    above = [one for one in candidates if one[0] > threshold]
    return -max(above)[1] if above else None


def who_gets(department: str) -> int:
    """A customer who is offered a coupon of the department."""
    return next(customer for customer in CUSTOMERS if best(customer, department, TODAY))


# Every message that a test's clients sent and heard.
CAPTURED: list[Captured] = []
NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass
class Heard:
    """A message that came on a topic."""

    topic: str
    payload: bytes
    answer_id: str | None
    # The other properties of MQTT 5, by their names there.
    event_id: str | None = None
    correlation_data: bytes | None = None

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.payload)
        return found


@dataclass
class Client:
    """Somebody at the broker: the shop's sensors, and who shows offers."""

    port: int
    topics: Sequence[str]
    is_v5: bool = True
    # Stands for "pollux" in every topic.
    prefix: str = "pollux"
    heard: list[Heard] = field(default_factory=list)

    def __post_init__(self) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if self.is_v5 else MQTTProtocolVersion.MQTTv311
        subscribed = threading.Event()
        self._client = PahoClient(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.username_pw_set(*TESTER)
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        if self.topics:
            self._client.subscribe([(self._at_broker(topic), 1) for topic in self.topics])
            assert subscribed.wait(SECONDS)

    def send(
        self, topic: str, payload: object, event_id: str | None = None, **more: object
    ) -> None:
        """Sends a message; `more` are properties of MQTT 5, by paho's names."""
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        properties = None
        if event_id is not None or more:
            properties = Properties(PacketTypes.PUBLISH)
            for name, value in more.items():
                setattr(properties, name, value)
        if properties is not None and event_id is not None:
            properties.UserProperty = [("event-id", event_id)]
        CAPTURED.append(Captured("receive", topic, content, _named(properties)))
        sent = self._client.publish(self._at_broker(topic), content, 1, properties=properties)
        sent.wait_for_publish(SECONDS)

    def _at_broker(self, topic: str) -> str:
        return topic.replace("pollux", self.prefix, 1)

    def on(self, topic: str) -> list[Heard]:
        return [one for one in self.heard if one.topic == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: object, _userdata: object, message: MQTTMessage) -> None:
        pairs = dict(getattr(message.properties, "UserProperty", None) or ())
        topic = message.topic.replace(self.prefix, "pollux", 1)
        properties = _named(message.properties)
        if not self.is_v5:
            # The broker left them out.
            properties["answer-id"] = NO_ID
        CAPTURED.append(Captured("send", topic, bytes(message.payload), properties))
        self.heard.append(
            Heard(
                topic,
                bytes(message.payload),
                pairs.get("answer-id"),
                pairs.get("event-id"),
                getattr(message.properties, "CorrelationData", None),
            )
        )


def _named(properties: Any) -> dict[str, object]:
    """Properties of MQTT 5 by their names in docs/asyncapi.yaml."""
    found = dict(getattr(properties, "UserProperty", None) or ())
    for name in ("ResponseTopic", "CorrelationData"):
        if hasattr(properties, name):
            value = getattr(properties, name)
            shown = value.hex() if isinstance(value, bytes) else value
            found[name[0].lower() + name[1:]] = shown
    return found


class Worker:
    """A worker, asked over HTTP; one in a process of its own can be killed."""

    def __init__(
        self, port: int, log: Path, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        self._process = process
        self._lines: list[str] = []

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "this worker is a thread"
        return self._process

    @property
    def text(self) -> str:
        """What it logged."""
        return self._log.read_text()

    def get(self, path: str) -> httpx.Response:
        return HTTP.get(self.url + path)

    def post(self, path: str, document: object) -> httpx.Response:
        return HTTP.post(self.url + path, json=document)

    def metric(self, name: str) -> float:
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def check(self) -> None:
        """Fails where it has ended."""
        assert self._process is None or self._process.poll() is None, self.text

    def stop(self) -> None:
        """Ends it as an operator would."""
        self.process.terminate()
        self.process.wait(timeout=SECONDS)


class WorkerThread(Worker):
    """A worker in a thread of this process: there in a moment, and with all of its parts."""

    def __init__(self, settings: Settings, mqtt: MqttSettings) -> None:
        super().__init__(settings.events_port, Path())
        store = open_serving_store(settings)
        with store.connect() as connection:
            prepare_database(connection, store)
        self.app = create_app(settings, mqtt, store)
        listening = socket.create_server(("127.0.0.1", settings.events_port))
        self.app.state.server = uvicorn.Server(configure(self.app))
        self._thread = threading.Thread(
            target=self.app.state.server.run, kwargs={"sockets": [listening]}, daemon=True
        )
        log.addHandler(self._handler())
        self._thread.start()

    def _handler(self) -> logging.Handler:
        worker = self

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if record.thread == worker._thread.ident:
                    worker._lines.append(record.getMessage())

        self._log_handler = Handler(level=logging.INFO)
        return self._log_handler

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    def check(self) -> None:
        assert self._thread.is_alive(), self.app.state.failures

    def stop(self) -> None:
        self.app.state.server.should_exit = True
        self._thread.join(SECONDS)
        assert not self._thread.is_alive(), "the worker does not end"
        log.removeHandler(self._log_handler)


HTTP = httpx.Client(trust_env=False, verify=False, timeout=30)
log = logging.getLogger("pollux.events")
log.setLevel(logging.INFO)


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables of an installation and its database."""
    names = ("database_url", "events_database_url", "reader_url")
    urls = {f"POLLUX_{name.upper()}": getattr(settings, name) for name in names}
    given = {name: url.get_secret_value() for name, url in urls.items() if url is not None}
    return {"POLLUX_DATA_DIR": str(settings.data_dir), **given}


def start_worker(settings: Settings, **environment: str) -> Worker:
    """Starts a worker; it may still be getting ready."""
    port = free_port()
    log = settings.data_dir / f"events-{port}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                (
                    "from pollux.runtime.settings import Settings\n"
                    "from pollux.runtime.errors import PolluxError\n"
                    "from services.events.server import run\n"
                    "import sys\n"
                    "try:\n    run(Settings())\n"
                    "except PolluxError as error:\n"
                    "    print(error, file=sys.stderr)\n    sys.exit(error.exit_code)\n"
                ),
            ],
            env=os.environ
            | environment_of(settings)
            | {"POLLUX_EVENTS_PORT": str(port)}
            | environment,
            cwd=PROJECT_DIR,
            stdout=sink,
            stderr=sink,
        )
    return Worker(port, log, process)


def is_ready(worker: Worker) -> bool:
    worker.check()
    try:
        return worker.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def starting(settings: Settings, **environment: str) -> Iterator[WorkerThread]:
    """A worker in a thread that may still be getting ready, ended with the block."""
    given = environment_of(settings) | environment | {"POLLUX_EVENTS_PORT": str(free_port())}
    with patch.dict(os.environ, given):
        worker = WorkerThread(Settings(), read_mqtt_settings())
    try:
        yield worker
    finally:
        worker.stop()


@contextmanager
def working(settings: Settings, **environment: str) -> Iterator[WorkerThread]:
    """A worker in a thread that is ready, ended with the block."""
    with starting(settings, **environment) as worker:
        wait_for(lambda: is_ready(worker))
        yield worker


@contextmanager
def broker(folder: Path, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Mosquitto on a port, with more lines of configuration."""
    program = find_mosquitto()
    if program is None:
        pytest.skip(MOSQUITTO_IS_MISSING)
    folder.mkdir(exist_ok=True)
    lines = [
        f"listener {port} 127.0.0.1",
        "persistence true",
        f"persistence_location {folder}/",
        "set_tcp_nodelay true",
        "max_inflight_messages 1000",
        "max_queued_messages 0",
        "user root",
        *(more or ("allow_anonymous true",)),
    ]
    configuration = folder / "mosquitto.conf"
    configuration.write_text("\n".join(lines) + "\n")
    command = [program, "-c", configuration]
    with running(command, lambda: is_open(port), log=folder / "broker.log") as process:
        yield process
