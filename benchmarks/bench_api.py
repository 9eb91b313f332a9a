"""How fast the API answers, by itself and against the same server's constant answer.

Everything runs on one machine: server, PostgreSQL and load generator share its cores, so ratios
to a constant answer (a plain route returning as many bytes, behind the same middleware) tell more
than the rates. Each figure is the median of several repetitions, measured in turn.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import yaml

from benchmarks.load_generator import Measured, measure
from benchmarks.measuring import Figures, figure, free_port
from benchmarks.whole_lists import (
    ACCOUNTS,
    copy_table,
    make_accounts,
    read_list,
    watching,
)
from pollux.runtime.keys import KeyScope, add_key
from pollux.runtime.serving import READER_ROLE, ServingStore, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings

HOUSEHOLDS = 2_500
CONNECTIONS = 50
REPETITIONS = 5
SECONDS = 3.0
KEYS = 100
KEY_PAIRS = 20
KEY_SECONDS = 1.0
# By requests per second, how many milliseconds of p99 are too many.
OPEN_RATES = {500: 3, 1_500: 10}
OPEN_REPETITIONS = 3
OPEN_SECONDS = 10.0
# Of the constant answer's p99 in the same run, at the lower rate.
MOST_OF_CONSTANT = 1.5
# Of the constant answer's rate.
HOUSEHOLD_OF_CONSTANT = 0.85
MEMORY_MB = 64
CONSTANT = "/constant"
CONSTANT_NAME = "a constant answer"
BODY_BYTES = 458
SELECT = "/v1/vouchers/select"
CONSTANT_SELECT = "/constant-select"
COUNTRIES = ("Australia", "China", "Latvia", "Peru")
VARIABLES = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
BOUNDS = [
    f"('{name}', '{one['name']}', {position}, {one['first']}, {one.get('last', 'null')})"
    for name in ("frequency_segment", "recency_segment")
    for position, one in enumerate(VARIABLES[f"{name}s"], start=1)
]

SECTIONS = (
    "alcohol, beverages, concessions, dairy, drug, garden, grain_goods, grocery, home_family, "
    "junk_food, kitchen, meat, misc, produce, seasonal"
)
SECTION_VALUES = ", ".join(
    f"(household_key * 0.01 + 1.5)::numeric(18, 2) as {section}" for section in SECTIONS.split(", ")
)
DATA = f"""
create schema release;
create table release.current (
    domain text primary key, number integer not null, switched_at timestamptz not null
);
create table release.releases (
    domain text, number integer, released_at timestamptz, engine text, dbt_invocation text,
    git_commit text, rows bigint, seconds double precision, primary key (domain, number)
);
insert into release.releases values ('household', 1, now(), 'duckdb', '', '', 0, 0);
insert into release.current values ('household', 1, now());
create schema household__r1;
create table household__r1.household_rfm as
select
    household_key::bigint, 101 as first_day, '2004-07-01'::date as first_date,
    700 as last_day, '2006-02-20'::date as last_date, 50::bigint as baskets,
    household_key / 7.0::float8 as baskets_per_day,
    (100 + household_key * 1.5)::numeric(18, 2) as total_sales,
    5 as r_score, 3 as f_score, 4 as m_score, 12 as rfm_score, 3 as rfm_bins,
    true as has_demographics
from generate_series(1, {HOUSEHOLDS}) as household_key;
create table household__r1.household_segments as
select household_key, 'Loyal' as segment, 101 as since_day, date '2004-07-01' as since_date,
    'visits often, spends more than most' as why
from household__r1.household_rfm;
create table household__r1.hh_summary as
select
    household_key::bigint - 1 as index, household_key::bigint, true as age_45_plus,
    false as "income_50K_plus", 2 as single_couple_family, false as has_kids, false as single,
    true as couple, 5 as r_score, 3 as f_score, 4 as m_score, 12 as rfm_score, 3 as rfm_bins,
    {SECTION_VALUES},
    (100 + household_key * 1.5)::numeric(18, 2) as total_sales
from generate_series(1, {HOUSEHOLDS}) as household_key;
alter table household__r1.household_rfm add primary key (household_key);
alter table household__r1.hh_summary add primary key (household_key);
alter table household__r1.household_segments add primary key (household_key);
insert into release.releases values ('customer', 1, now(), 'duckdb', '', '', 0, 0);
insert into release.current values ('customer', 1, now());
create schema customer__r1;
create table customer__r1.voucher_assignment_segmented as
select country_code from (values {
    ", ".join(f"('{name}')" for name in COUNTRIES)
}) as _ (country_code);
create table customer__r1.voucher_segments as
select segment_name, segment, position, first_number, last_number::integer
from (values {", ".join(BOUNDS)})
    as _ (segment_name, segment, position, first_number, last_number);
create table customer__r1.voucher_ranking as
select
    country_code, segment_name, segment, (rank * 880)::numeric(18, 2) as voucher_amount,
    (1000 - rank)::bigint as times_used, 0.2::float8 as share, rank
from customer__r1.voucher_assignment_segmented
cross join (
    select 'country' as segment_name, 'all' as segment
    union all select segment_name, segment from customer__r1.voucher_segments
) as _
cross join generate_series(1, 5) as rank;
grant usage on schema release, household__r1, customer__r1 to {READER_ROLE};
grant select on all tables in schema release, household__r1, customer__r1 to {READER_ROLE};
analyze;
"""


class Served(NamedTuple):
    """A running API."""

    port: int
    pid: int


PARTS = ("rates", "latencies", "keys", "lists")


def run(only: Sequence[str] = PARTS) -> Iterator[dict[str, Any]]:
    """Measures everything, or some of `PARTS`; all take about ten minutes."""
    with tempfile.TemporaryDirectory(prefix="pollux-bench-", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder), database_url=None)
        database = open_serving_store(settings)
        try:
            fill(database)
            with serving(settings, 0) as fresh, serving(settings, MEMORY_MB) as remembering:
                if "rates" in only:
                    yield from _measure_rates(fresh.port, remembering.port)
                if "latencies" in only:
                    yield from _measure_latencies(fresh.port, remembering.port)
                if "keys" in only:
                    yield from _measure_keys(database)
                # Last, since it makes the database much larger.
                if "lists" in only:
                    yield from _measure_whole_lists(database, fresh)
        finally:
            if database.embedded is not None:
                database.embedded.stop()
                database.embedded.leave()
                # For root and for long paths it is not under the data folder.
                shutil.rmtree(database.embedded.home, ignore_errors=True)


def serve_with_constant(data_dir: str, port: int, cache_mb: int, database_url: str | None) -> None:
    """Serves the API and a constant answer; runs in a process of its own."""
    from pydantic import SecretStr  # noqa: PLC0415
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import Response  # noqa: PLC0415

    from services.api.app import create_app  # noqa: PLC0415
    from services.common.port import bind  # noqa: PLC0415
    from services.common.scopes import ScopedRouter, guard  # noqa: PLC0415
    from services.common.server import serve  # noqa: PLC0415

    settings = Settings(
        data_dir=Path(data_dir),
        database_url=None if database_url is None else SecretStr(database_url),
        api_port=port,
        api_cache_mb=cache_mb,
        api_keys="",
    )
    app = create_app(settings)
    body = b"x" * BODY_BYTES

    async def constant() -> Response:
        return Response(body, media_type="application/json")

    async def constant_select(request: Request) -> Response:
        await request.body()
        return Response(b'{"voucher_amount":2640}', media_type="application/json")

    router = ScopedRouter(KeyScope.HOUSEHOLDS_READ)
    router.add_api_route(CONSTANT, constant)
    router.add_api_route(CONSTANT_SELECT, constant_select, methods=["POST"])
    guard(router)
    app.router.routes += router.routes
    serve(app, bind(settings.api_host, settings.api_port))


def _measure_rates(fresh: int, remembering: int) -> Figures:
    households = _households()
    summaries = [f"{path}/summary" for path in households]
    rates: dict[str, list[float]] = {}

    def repeat(name: str, port: int, paths: list[str]) -> None:
        measured = measure(
            port=port, paths=paths, kind="closed", seconds=SECONDS, connections=CONNECTIONS
        )
        _demand_ok(name, measured)
        rates.setdefault(name, []).append(measured.rate)

    measure(port=remembering, paths=summaries, kind="closed", seconds=SECONDS)
    for _ in range(REPETITIONS):
        repeat("constant", fresh, [CONSTANT])
        repeat("household", fresh, households)
        repeat("summary", fresh, summaries)
        repeat("constant", remembering, [CONSTANT])
        repeat("memory", remembering, summaries)
    median = {name: statistics.median(values) for name, values in rates.items()}
    floor = max(1_800, 0.5 * median["constant"])
    rows = [
        figure("constant answer", median["constant"], "requests/s"),
        figure("household from PostgreSQL", median["household"], "requests/s", at_least=floor),
        figure("summary from PostgreSQL", median["summary"], "requests/s", at_least=floor),
        figure(
            "household ÷ constant",
            median["household"] / median["constant"],
            "ratio",
            at_least=HOUSEHOLD_OF_CONSTANT,
        ),
        figure("summary ÷ constant", median["summary"] / median["constant"], "ratio"),
        figure("summary from memory", median["memory"], "requests/s"),
        figure("memory ÷ constant", median["memory"] / median["constant"], "ratio", at_least=0.8),
    ]
    return rows + _measure_select(remembering)


def _households() -> list[str]:
    keys = list(range(1, HOUSEHOLDS + 1))
    random.Random(1).shuffle(keys)
    return [f"/v1/households/{key}" for key in keys]


def _measure_latencies(fresh: int, remembering: int) -> Figures:
    """The latencies of answers at fixed rates, in turn with those of a constant answer."""
    households, bodies = _households(), _select_bodies()
    asked: dict[str, tuple[int, list[str], list[str] | None]] = {
        CONSTANT_NAME: (fresh, [CONSTANT], None),
        "household from PostgreSQL": (fresh, households, None),
        "household from memory": (remembering, households, None),
        "selection": (remembering, [SELECT], bodies),
    }
    measure(port=remembering, paths=households, kind="closed", seconds=SECONDS)
    rows: Figures = []
    for rate, at_most in OPEN_RATES.items():
        runs: dict[str, list[Measured]] = {name: [] for name in asked}
        for _ in range(OPEN_REPETITIONS):
            for name, (port, paths, bodies_or_none) in asked.items():
                runs[name].append(_open_run(name, port, paths, rate, bodies_or_none))
        p99_of = {}
        for name, found in runs.items():
            p50, p99_of[name] = (
                statistics.median(one.percentile_ms(percent) for one in found)
                for percent in (50, 99)
            )
            limit = None if name == CONSTANT_NAME else at_most
            rows.append(figure(f"p50 at {rate}/s, {name}", p50, "ms"))
            rows.append(figure(f"p99 at {rate}/s, {name}", p99_of[name], "ms", at_most=limit))
        if rate == min(OPEN_RATES):
            rows += [
                figure(
                    f"p99 at {rate}/s, {name} ÷ {CONSTANT_NAME}",
                    p99 / p99_of[CONSTANT_NAME],
                    "ratio",
                    at_most=MOST_OF_CONSTANT,
                )
                for name, p99 in p99_of.items()
                if name != CONSTANT_NAME
            ]
    return rows


def _measure_keys(database: ServingStore) -> Figures:
    """The same API with and without keys, in turn: requests per second of the server's processor.

    The server keeps one core busy, so that is its throughput, whatever else the machine does.
    """
    url = database.owner_url
    households = _households()
    paths = {"constant answer": [CONSTANT], "household": households, "memory": households[:100]}
    rows: Figures = []
    with ExitStack() as running:
        folders = [
            Path(running.enter_context(tempfile.TemporaryDirectory(prefix="pollux-keys-")))
            for _ in range(2)
        ]
        settings = [Settings(data_dir=folder) for folder in folders]
        made = [
            add_key(settings[1], f"key-{number}", [KeyScope.HOUSEHOLDS_READ])
            for number in range(KEYS)
        ]
        sent: list[dict[str, str]] = [{}, {"Authorization": f"Bearer {made[KEYS // 2]}"}]
        for name, asked in paths.items():
            cache_mb = MEMORY_MB if name == "memory" else 0
            with (
                serving(settings[0], cache_mb, url) as free,
                serving(settings[1], cache_mb, url) as keyed,
            ):
                ratios = []
                for number in range(KEY_PAIRS):
                    rates = {}
                    pair = [(free, sent[0]), (keyed, sent[1])]
                    # Whoever comes second finds the caches of the processor as the first left them.
                    for served, headers in pair if number % 2 else pair[::-1]:
                        before = _processor_seconds(served)
                        measured = measure(
                            port=served.port,
                            paths=asked,
                            headers=headers,
                            kind="closed",
                            seconds=KEY_SECONDS,
                            connections=CONNECTIONS,
                        )
                        _demand_ok(name, measured)
                        used = _processor_seconds(served) - before
                        rates[served] = measured.requests / used
                    ratios.append(rates[keyed] / rates[free])
            ratio = statistics.median(ratios)
            rows.append(figure(f"{name}: with keys ÷ without", ratio, "ratio", at_least=0.95))
    return rows


def _processor_seconds(served: Served) -> float:
    times = psutil.Process(served.pid).cpu_times()
    return float(times.user + times.system)


def _measure_select(port: int) -> Figures:
    bodies = _select_bodies()
    rates: dict[str, list[float]] = {SELECT: [], CONSTANT_SELECT: []}
    for _ in range(REPETITIONS):
        for path, found in rates.items():
            measured = measure(
                port=port,
                paths=[path],
                bodies=bodies,
                kind="closed",
                seconds=SECONDS,
                connections=CONNECTIONS,
            )
            _demand_ok(path, measured)
            found.append(measured.rate)
    select, constant = (statistics.median(found) for found in rates.values())
    return [
        figure("voucher selection", select, "requests/s"),
        figure("constant answer to the same bodies", constant, "requests/s"),
        figure("selection ÷ constant", select / constant, "ratio", at_least=0.6),
    ]


def _measure_whole_lists(database: ServingStore, served: Served) -> Figures:
    """All accounts, streamed and copied in turn."""
    make_accounts(database, "customer__r1")
    with database.connect(autocommit=True) as connection:
        connection.execute(f"grant select on customer__r1.customers to {READER_ROLE}")
    before = psutil.Process(served.pid).memory_info().rss / 2**20
    ratios, rates = [], []
    with watching(served.pid) as peak:
        for _ in range(REPETITIONS):
            copied = copy_table(database, "customer__r1")
            streamed = read_list(served.port, "text/csv")
            if (streamed.size, streamed.lines) != (copied.size, ACCOUNTS + 1):
                raise RuntimeError(f"CSV is {streamed}, COPY is {copied}")
            ratios.append(copied.seconds / streamed.seconds)
            rates.append(ACCOUNTS / streamed.seconds)
        lines = read_list(served.port, "application/x-ndjson")
    return [
        figure("2 million accounts as CSV", statistics.median(rates), "rows/s"),
        figure("CSV ÷ COPY", statistics.median(ratios), "ratio", at_least=2 / 3),
        figure("2 million accounts as NDJSON", ACCOUNTS / lines.seconds, "rows/s"),
        figure("memory for whole lists", peak.mib - before, "MiB", at_most=64),
    ]


def _select_bodies() -> list[str]:
    """Typical requests: any country, any number of orders, either kind of segment."""
    rng = random.Random(1)
    names = ("frequency_segment", "recency_segment")
    return [
        json.dumps(
            {
                "customer_id": number,
                "country_code": rng.choice(COUNTRIES),
                "last_order_ts": f"2018-{rng.randint(1, 12):02}-{rng.randint(1, 28):02} 00:00:00",
                "first_order_ts": "2017-05-03 00:00:00",
                "total_orders": rng.randint(0, 45),
                "segment_name": rng.choice(names),
            }
        )
        for number in range(1_000)
    ]


def _open_run(
    name: str, port: int, paths: list[str], rate: int, bodies: list[str] | None
) -> Measured:
    measured = measure(
        port=port,
        paths=paths,
        kind="open",
        seconds=OPEN_SECONDS,
        connections=CONNECTIONS,
        rate=rate,
        bodies=bodies,
    )
    _demand_ok(name, measured)
    return measured


def _demand_ok(name: str, measured: Measured) -> None:
    if set(measured.statuses) != {"200"}:
        raise RuntimeError(f"{name}: answers other than 200: {measured.statuses}")


def fill(database: ServingStore) -> None:
    """Releases marts of households and vouchers."""
    with database.connect(autocommit=True) as connection:
        connection.execute(f"create role {READER_ROLE} login")
        connection.execute(DATA)


@contextmanager
def serving(settings: Settings, cache_mb: int, database_url: str | None = None) -> Iterator[Served]:
    """A running API that remembers as much."""
    port = free_port()
    arguments = json.dumps([str(settings.data_dir), port, cache_mb, database_url])
    process = subprocess.Popen([sys.executable, __file__, "--serve", arguments])
    try:
        _wait_until_ready(port, process)
        yield Served(port, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the API did not get ready")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these rows alone")
    parser.add_argument("--serve", type=json.loads, help="how it starts its servers")
    given = parser.parse_args()
    if given.serve is not None:
        serve_with_constant(*given.serve)
        return
    for row in run(given.only):
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    _main()
