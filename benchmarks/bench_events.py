"""How fast focus events are answered over MQTT, and offers over HTTP, and where the time goes.

Belongs here: the speed claims of the event service and how each is measured. Does not belong here:
what is offered to whom, and what happens when something fails.

Mosquitto, PostgreSQL, worker and load generator share one machine. Every focus event is answered,
from contexts that entry events prepared. The same is measured with MQTT only: a client that answers
every event at once, over the same connection code, without a database. Offers over HTTP are
measured in turn with an answer of the same server that needs no work.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from benchmarks.events_generator import (
    FIRST_SECOND,
    PUBLISH,
    V311,
    Client,
    Generator,
    Measured,
    packet,
    text_field,
)
from benchmarks.load_generator import Measured as MeasuredOverHttp
from benchmarks.load_generator import measure
from benchmarks.measuring import Figures, Quiet, figure, free_port
from pollux.runtime.broker import find_mosquitto
from pollux.runtime.serving import READER_ROLE, ServingStore, open_serving_store
from pollux.runtime.settings import Settings

HOST = "127.0.0.1"
MOSQUITTO = find_mosquitto()
CUSTOMERS = 2_000
DEPARTMENTS = ("Boys", "Girls", "Men", "Sport", "Women")
COUPONS = 40
# One coupon for hundreds of products.
WHOLE_DEPARTMENT = "Home"
WHOLE_PRODUCTS = 890
FOCUS, ANSWERS, ENTRY = "pollux/focus", "pollux/coupon-prediction", "pollux/entry"
ECHO, ECHOED = "bench/echo", "bench/echoed"
OFFERS, CONSTANT = "/v1/offers", "/healthz"
OFFERS_RATE, OFFERS_REPETITIONS = 500, 3
OFFERS_CONNECTIONS = 20

RATES = (200, 500, 1_000)
P99_MS = 10
STEPS = (*range(500, 5_000, 500), *range(5_000, 8_001, 1_000))
RATE_TARGETS = {1: 4_000, 2: 6_000}
# At which events are counted in time of the processors, to compare one version with another.
COST_RATE = 1_000
# The host pauses the machine at times: a rate held once can be held.
TRIES = 2
HIGHEST = {1: "highest rate held", 2: "highest rate held, two workers"}
WHOLE_RATE = 5
MAX_RUNS = 3
# A virtual machine waits for its host: above this, latencies show that wait.
CALM_PERCENT = 3.0
# Within which workers learn of one another, and share the events.
SHARING_SECONDS = 5.0
# Events in flight that are not a backlog yet, in seconds of the rate.
UNDER_WAY_SECONDS = 0.25

RELEASES = f"""
create role {READER_ROLE} login;
create schema release;
create table release.current (
    domain text primary key, number integer not null, switched_at timestamptz not null
);
create table release.releases (
    domain text, number integer, released_at timestamptz, engine text, dbt_invocation text,
    git_commit text, rows bigint, seconds double precision, primary key (domain, number)
);
"""
SHOP = f"""
insert into release.releases values ('store', 1, now(), 'duckdb', '', '', 0, 0);
insert into release.current values ('store', 1, now());
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
    coupon_id::bigint, 'buy_all' as coupon_type,
    (array['{"', '".join(DEPARTMENTS)}'])[1 + coupon_id % {len(DEPARTMENTS)}] as department,
    10 as discount, 2 as how_many_products_required, date '2024-01-01' as start_date,
    date '2024-12-31' as end_date, 20.00::numeric(18, 2) as product_mean_price,
    1 + coupon_id / {len(DEPARTMENTS)} % 5 as products_available
from generate_series(1, {COUPONS * len(DEPARTMENTS)}) as coupon_id
union all
select
    10000, 'department', '{WHOLE_DEPARTMENT}', 10, -1, '2024-01-01', '2024-12-31', 20.00,
    {WHOLE_PRODUCTS};
create table store__r1.coupon_product as
select coupon_id, coupon_id * 1000 + place as product_id
from store__r1.coupon_info cross join lateral generate_series(1, products_available) as place;
create table store__r1.product_info as
select
    product_id, 'Shirt ' || product_id as name, department as category, 'S, M, L' as sizes,
    'Vendor' as vendor, 'Long and light' as description, 20.00::numeric(18, 2) as buy_price,
    department
from store__r1.coupon_product inner join store__r1.coupon_info using (coupon_id);
alter table store__r1.customer_info add primary key (customer_id);
alter table store__r1.coupon_info add primary key (coupon_id);
alter table store__r1.product_info add primary key (product_id);
create index on store__r1.coupon_product (coupon_id);
grant usage on schema release, store__r1 to {READER_ROLE};
grant select on all tables in schema release, store__r1 to {READER_ROLE};
analyze;
"""
DEPTH = "select count(*) from events.outbox where published_at is null"
LAST = "select coalesce(max(number), 0) from events.decisions"
GROUPS = """
select count(*), count(distinct cast(xmin as text)) from events.decisions where number > %s
"""


class Lengths(NamedTuple):
    """How long each part is measured, in seconds."""

    held: float = 60.0
    probe: float = 8.0
    whole: float = 10.0
    echo: float = 20.0
    offers: float = 10.0

    @property
    def mark(self) -> float:
        """When the backlog is first measured."""
        return self.held / 3


class Parts(NamedTuple):
    """The processes whose time is counted."""

    workers: list[psutil.Process]
    broker: psutil.Process
    database: psutil.Process

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that each has used so far, by name."""
        database = [self.database, *self.database.children()]
        return {
            "worker": _cpu(self.workers),
            "Mosquitto": _cpu([self.broker]),
            "PostgreSQL": _cpu(database),
        }


class Site(NamedTuple):
    """Where the load goes, and what is observed meanwhile."""

    port: int
    topic: str
    answers: str
    serving_store: ServingStore | None = None


class Held(NamedTuple):
    """A run at one rate; the backlogs are those after its first third and at its end."""

    measured: Measured
    rate: float
    backlogs: tuple[int, int]
    depths: tuple[int, int]

    @property
    def is_held(self) -> bool:
        """Whether nothing piled up: neither sending, nor answers, nor the outbox."""
        measured, slack = self.measured, UNDER_WAY_SECONDS * self.rate
        is_sent = measured.seconds * self.rate <= measured.sent * 1.01
        is_answered = measured.answered == measured.sent
        return is_sent and is_answered and max(self.backlogs[1], self.depths[1]) <= slack


PARTS = ("latencies", "cost", "highest", "department", "offers", "echo", "two")


def run(lengths: Lengths | None = None, only: Sequence[str] = PARTS) -> Iterator[dict[str, Any]]:
    """Measures everything, or some of `PARTS`; all take about a quarter of an hour."""
    lengths = lengths or Lengths()
    found: dict[str, float] = {}
    for row in _run(lengths, only, found):
        found[row["name"]] = row["value"]
        yield row


def _run(
    lengths: Lengths, only: Sequence[str], found: dict[str, float]
) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="px", dir="/tmp")))
        settings = Settings(data_dir=folder, database_url=None)
        serving_store = stack.enter_context(_store(settings))
        broker_port, broker = stack.enter_context(run_mosquitto(folder))
        scorer_port = stack.enter_context(run_process(["scorer"]))
        worker, http_port = stack.enter_context(run_worker(folder, broker_port, scorer_port))
        assert serving_store.embedded is not None
        postmaster = (serving_store.embedded.cluster / "postmaster.pid").read_text().split()[0]
        parts = Parts([worker], psutil.Process(broker), psutil.Process(int(postmaster)))
        site = Site(broker_port, FOCUS, ANSWERS, serving_store)
        prepare_offers(site)
        send_load(site, 100, 3, "warm")
        if "latencies" in only:
            yield from _latencies(site, lengths)
        if "cost" in only:
            yield from _cost(site, parts, lengths)
        if "highest" in only:
            yield from _highest(site, parts, lengths)
        if "department" in only:
            yield from _whole_department(site, lengths)
        if "offers" in only:
            yield from _offers(http_port, lengths)
        if "echo" in only:
            stack.enter_context(run_process(["echo", str(broker_port)], announces=True))
            yield from _echo(Site(broker_port, ECHO, ECHOED), found, lengths)
        if "two" in only:
            second, _ = stack.enter_context(run_worker(folder, broker_port, scorer_port))
            # It prepares nothing: the first has, and the database keeps it.
            time.sleep(SHARING_SECONDS)
            parts = parts._replace(workers=[worker, second])
            yield from _highest(site, parts, lengths)


def _latencies(site: Site, lengths: Lengths) -> Figures:
    rows = []
    for rate in RATES:
        held, stolen, runs = _calmest(
            lambda rate=rate: send_load(site, rate, lengths.held, f"l{rate}")
        )
        if not rows:
            size = held.measured.bytes_per_answer
            rows.append(figure(f"mean size of an answer ({_version()})", size, "bytes"))
        p50, p99 = (held.measured.percentile_ms(percent) for percent in (50, 99))
        unanswered = held.measured.sent - held.measured.answered
        rows += [
            figure(f"focus → prediction, p50 at {rate}/s", p50, "ms"),
            figure(f"focus → prediction, p99 at {rate}/s", p99, "ms", at_most=P99_MS),
            figure(f"never answered at {rate}/s", unanswered, "events", at_most=0),
            figure(
                f"time that other machines took meanwhile, of {runs} runs the least", stolen, "%"
            ),
        ]
    return rows


def _calmest(load: Callable[[], Held]) -> tuple[Held, float, int]:
    """A run undisturbed by other machines of the same host, or the calmest of several.

    Also returns the time that they took from this one, percent, and the number of runs.
    """
    found: list[tuple[float, int, Held]] = []
    while len(found) < MAX_RUNS and (not found or min(found)[0] > CALM_PERCENT):
        quiet = Quiet()
        held = load()
        found.append((quiet.stolen_percent(), len(found), held))
    stolen, _, held = min(found)
    return held, stolen, len(found)


def _highest(site: Site, parts: Parts, lengths: Lengths) -> Figures:
    """The highest rate without a growing backlog, and the cost of an event at that rate."""
    assert site.serving_store is not None
    workers = len(parts.workers)
    most = _probe(site, lengths)
    rates = [step for step in reversed(STEPS) if step <= most]
    for rate in (rate for rate in rates for _ in range(TRIES)):
        with site.serving_store.connect() as connection:
            (before,) = connection.execute(LAST).fetchone() or (0,)
        memory, cpu = _rss(parts.workers), parts.cpu_seconds()
        held = send_load(site, rate, lengths.held, f"held{rate}")
        costs = _costs(parts, cpu, held)
        memory_after = _rss(parts.workers)
        if held.is_held:
            break
    with site.serving_store.connect() as connection:
        events, groups = connection.execute(GROUPS, [before]).fetchone() or (0, 1)
    name = f"at {rate}/s for {lengths.held:.0f} s"
    highest = rate if held.is_held else 0
    first = figure(HIGHEST[workers], highest, "events/s", at_least=RATE_TARGETS[workers])
    rows = [
        figure(f"p50 {name}", held.measured.percentile_ms(50), "ms"),
        figure(f"p99 {name}", held.measured.percentile_ms(99), "ms"),
        figure(f"sent and not answered at second {lengths.mark:.0f}", held.backlogs[0], "events"),
        figure(f"the same at second {lengths.held:.0f}", held.backlogs[1], "events"),
        figure(f"depth of the outbox at second {lengths.mark:.0f}", held.depths[0], "answers"),
        figure(f"the same at second {lengths.held:.0f}", held.depths[1], "answers"),
        figure("memory before", memory, "MiB"),
        figure("memory after", memory_after, "MiB", at_most=memory + 16 * workers),
        figure("events of one transaction", events / max(1, groups), "events"),
        *costs,
    ]
    of = "one worker" if workers == 1 else "two workers"
    return [first, *({**row, "name": f"{of}: {row['name']}"} for row in rows)]


def _cost(site: Site, parts: Parts, lengths: Lengths) -> Figures:
    """The processors' time of an event at a fixed rate, which hardly depends on other load."""
    cpu = parts.cpu_seconds()
    held = send_load(site, COST_RATE, lengths.echo, "cost")
    return _costs(parts, cpu, held, f" at {COST_RATE}/s")


def _costs(parts: Parts, before: dict[str, float], held: Held, when: str = "") -> Figures:
    spent = {name: after - before[name] for name, after in parts.cpu_seconds().items()}
    spent["generator"] = held.measured.cpu_seconds
    return [
        figure(f"time of {part}, an event{when}", 1e6 * seconds / held.measured.sent, "µs")
        for part, seconds in spent.items()
    ]


def _whole_department(site: Site, lengths: Lengths) -> Figures:
    found = send_load(
        site, WHOLE_RATE, lengths.whole, "whole", departments=[WHOLE_DEPARTMENT]
    ).measured
    return [
        figure("answer with a coupon of a whole department", found.bytes_per_answer / 1024, "KiB"),
        figure(f"its p50 at {WHOLE_RATE}/s", found.percentile_ms(50), "ms"),
        figure(f"its p99 at {WHOLE_RATE}/s", found.percentile_ms(99), "ms"),
    ]


def _offers(port: int, lengths: Lengths) -> Figures:
    """Offers for customers who were prepared for, in turn with an answer that needs no work."""
    at = datetime.fromtimestamp(FIRST_SECOND, UTC).isoformat()
    bodies = [
        json.dumps({"customer_id": 1 + number, "department": DEPARTMENTS[number % 5], "at": at})
        for number in range(CUSTOMERS)
    ]
    _over_http(port, OFFERS, bodies, 3.0)
    floors, runs = [], []
    for _ in range(OFFERS_REPETITIONS):
        floors.append(_over_http(port, CONSTANT, None, lengths.offers))
        runs.append(_over_http(port, OFFERS, bodies, lengths.offers))
    p50, p99, floor = (
        statistics.median(run.percentile_ms(percent) for run in of)
        for of, percent in ((runs, 50), (runs, 99), (floors, 99))
    )
    return [
        figure(f"POST {OFFERS}, p50 at {OFFERS_RATE}/s", p50, "ms"),
        figure(f"POST {OFFERS}, p99 at {OFFERS_RATE}/s", p99, "ms", at_most=10),
        figure(f"a constant answer over HTTP, p99 at {OFFERS_RATE}/s", floor, "ms"),
        figure(f"POST {OFFERS} ÷ a constant answer, p99 at {OFFERS_RATE}/s", p99 / floor, "ratio"),
    ]


def _over_http(port: int, path: str, bodies: list[str] | None, seconds: float) -> MeasuredOverHttp:
    measured = measure(
        port=port,
        paths=[path],
        bodies=bodies,
        kind="open",
        seconds=seconds,
        connections=OFFERS_CONNECTIONS,
        rate=OFFERS_RATE,
    )
    if set(measured.statuses) != {"200"}:
        raise RuntimeError(f"{path}: answers other than 200: {measured.statuses}")
    return measured


def _echo(site: Site, answered: dict[str, float], lengths: Lengths) -> Figures:
    """The same with MQTT only, and how much longer the whole service took."""
    rows = []
    for rate in RATES:
        held, _, _ = _calmest(lambda rate=rate: send_load(site, rate, lengths.echo, f"echo{rate}"))
        for percent in (50, 99):
            floor = held.measured.percentile_ms(percent)
            rows.append(figure(f"MQTT only, p{percent} at {rate}/s", floor, "ms"))
            whole = answered.get(f"focus → prediction, p{percent} at {rate}/s")
            if whole is not None:
                name = f"focus → prediction ÷ MQTT only, p{percent} at {rate}/s"
                rows.append(figure(name, whole / floor, "ratio"))
    highest = _probe(site, lengths)
    rows.append(figure("MQTT only, highest rate", highest, "events/s"))
    whole = answered.get(HIGHEST[1])
    if whole is not None:
        rows.append(figure("highest rate ÷ MQTT only", whole / highest, "ratio"))
    return rows


def _probe(site: Site, lengths: Lengths) -> int:
    """The highest step that is held for a short time."""
    best = STEPS[0]
    for rate in STEPS:
        tries = (send_load(site, rate, lengths.probe, f"probe{rate}") for _ in range(TRIES))
        if not any(one.is_held for one in tries):
            break
        best = rate
    return best


def send_load(
    site: Site, rate: float, seconds: float, name: str, departments: Any = DEPARTMENTS
) -> Held:
    generator = Generator(
        port=site.port,
        topic=site.topic,
        answers=site.answers,
        rate=rate,
        seconds=seconds,
        customers=CUSTOMERS,
        departments=departments,
        # Events of an earlier run would count as repeated.
        name=f"{name}-{time.time_ns()}",
        marks=[seconds / 3],
    )
    time.sleep(seconds / 3)
    first = _depth(site.serving_store)
    time.sleep(2 * seconds / 3)
    last = _depth(site.serving_store)
    measured = generator.measured()
    early, late = (sent - answered for sent, answered in measured.marks)
    _settle(site.serving_store)
    return Held(measured, rate, (early, late), (first, last))


def _depth(serving_store: ServingStore | None) -> int:
    if serving_store is None:
        return 0
    with serving_store.connect(autocommit=True) as connection:
        (depth,) = connection.execute(DEPTH).fetchone() or (0,)
        return int(depth)


def _settle(serving_store: ServingStore | None) -> None:
    """Waits until nothing is left of a run."""
    deadline = time.monotonic() + 60
    while _depth(serving_store) and time.monotonic() < deadline:
        time.sleep(0.1)


def prepare_offers(site: Site) -> None:
    """Every customer enters and gets prepared offers."""
    assert site.serving_store is not None
    client = Client(site.port, V311)
    for customer in range(1, CUSTOMERS + 1):
        number = customer.to_bytes(2, "big")
        payload = f'{{"id":"{customer}","ts":{FIRST_SECOND}}}'.encode()
        client.write(packet(PUBLISH, text_field(ENTRY) + number + payload))
    prepared = "select count(*) from events.decisions where outcome = 'prepared'"
    deadline = time.monotonic() + 120
    with site.serving_store.connect(autocommit=True) as connection:
        while connection.execute(prepared).fetchone() != (CUSTOMERS,):
            if time.monotonic() > deadline:
                raise RuntimeError("not every customer was prepared for")
            time.sleep(0.1)


def fill(serving_store: ServingStore) -> None:
    """Releases a shop's marts into an empty database."""
    with serving_store.connect(autocommit=True) as connection:
        connection.execute(RELEASES)
        connection.execute(SHOP)


@contextmanager
def _store(settings: Settings) -> Iterator[ServingStore]:
    serving_store = open_serving_store(settings)
    assert serving_store.embedded is not None
    try:
        fill(serving_store)
        yield serving_store
    finally:
        serving_store.embedded.stop()
        serving_store.embedded.leave()
        # For root and for long paths it is not under the data folder.
        shutil.rmtree(serving_store.embedded.home, ignore_errors=True)


@contextmanager
def run_mosquitto(folder: Path) -> Iterator[tuple[int, int]]:
    """Mosquitto's port and process, configured as for a shop."""
    if MOSQUITTO is None:
        raise RuntimeError("Mosquitto is not installed")
    port = free_port()
    user = "user root\n" if os.geteuid() == 0 else ""
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        f"listener {port} {HOST}\nallow_anonymous true\n{user}persistence true\n"
        f"persistence_location {folder}/\nautosave_interval 1\nset_tcp_nodelay true\n"
        "max_queued_messages 0\nmax_inflight_messages 1000\n"
    )
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([MOSQUITTO, "-c", str(configuration)], stdout=log, stderr=log)
    try:
        _wait(lambda: _listens(port), process)
        yield port, process.pid
    finally:
        _end(process)


@contextmanager
def run_worker(
    folder: Path, broker_port: int, scorer_port: int
) -> Iterator[tuple[psutil.Process, int]]:
    """The worker's process, and its port."""
    port = free_port()
    own = ("MQTT_", "ENTRY_EVENT", "FOCUS_EVENT", "COUPON_PREDICTION", "POLLUX_", "TESTING_NO")
    environment = {name: v for name, v in os.environ.items() if not name.startswith(own)} | {
        "POLLUX_DATA_DIR": str(folder),
        "POLLUX_BROKER_PORT": str(broker_port),
        "POLLUX_SCORING_PORT": str(scorer_port),
        "POLLUX_EVENTS_PORT": str(port),
        "POLLUX_COUPON_THRESHOLD": "0",
    }
    code = (
        "from pollux.runtime.settings import Settings\n"
        "from services.events.server import run\nrun(Settings())"
    )
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            cwd=Path(__file__).resolve().parents[1],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(lambda: _is_ready(port), process)
        yield psutil.Process(process.pid), port
    finally:
        _end(process)


@contextmanager
def run_process(arguments: list[str], *, announces: bool = False) -> Iterator[int]:
    """Runs a helper of this module in its own process; yields its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments, str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        if announces:
            assert process.stdout is not None
            process.stdout.readline()
        else:
            _wait(lambda: _listens(port), process)
        yield port
    finally:
        _end(process)


def serve_predictions(port: int) -> None:
    """A scorer whose predictions are spread over coupons, and never 0."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer(b"{}")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            customer = asked["customer"]["customer_id"]
            rows = [
                {
                    "coupon_id": coupon["coupon_id"],
                    "prediction": (1 + (customer * 31 + coupon["coupon_id"] * 17) % 97) / 100,
                }
                for coupon in asked["coupons"]
            ]
            self._answer(json.dumps(rows).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Pollux-Model", "bench")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer((HOST, port), Handler).serve_forever()


async def echo(port: int) -> None:
    """Answers every event at once with as many bytes as a coupon, over MQTT alone."""
    from paho.mqtt.enums import MQTTProtocolVersion  # noqa: PLC0415

    from services.events.broker.connection import BrokerConnection, Login, Message  # noqa: PLC0415

    body = b'{"customer":{"id":"1"},"coupon":"' + b"x" * 700 + b'"'

    def answer(message: Message) -> None:
        # The time is between "ts": and the department.
        moment = message.payload.partition(b'"ts":')[2][:10]
        properties = {"answer-id": "00000000-0000-0000-0000-000000000000"}
        connection.publish(ECHOED, body + b',"ts":' + moment + b"}", properties)
        message.receipt.acknowledge()

    connection = BrokerConnection(
        Login(client_id="bench-echo", username=None, password=None, certificates=None),
        MQTTProtocolVersion.MQTTv5,
        on_message=answer,
        on_published=lambda _mid, _is_accepted: None,
    )
    await connection.open(HOST, port)
    await connection.subscribe([f"$share/bench/{ECHO}"])
    print("echoes", flush=True)
    await connection.lost


def _wait(condition: Any, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args} did not get ready")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _version() -> str:
    """Mosquitto's version, as it reports it."""
    told = subprocess.run([str(MOSQUITTO), "-h"], capture_output=True, text=True, check=False)
    return told.stdout.partition("\n")[0].replace("version ", "")


def _rss(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / 2**20


def _cpu(processes: list[psutil.Process]) -> float:
    seconds = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        seconds += times.user + times.system
    return seconds


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a try of two minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these rows alone")
    parser.add_argument("helper", nargs="*", help="how it starts its helpers")
    given = parser.parse_args()
    if given.helper[:1] == ["scorer"]:
        serve_predictions(int(given.helper[1]))
    elif given.helper[:1] == ["echo"]:
        asyncio.run(echo(int(given.helper[1])))
    else:
        for row in run(Lengths(6.0, 3.0, 4.0, 4.0, 4.0) if given.short else None, given.only):
            print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    _main()
