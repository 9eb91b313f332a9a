"""How time and memory grow with the data, and whether answers stay as quick.

Belongs here: the household domain from its files to its release, at several scales and after one
more day, API and worker with more and more customers. Does not belong here: how fast each is by
itself (the other modules).

Each part runs alone, with sizes of one's own: `python -m benchmarks.bench_growth household --sizes
0.1 1`. A number of customers is measured for 80 seconds.
"""

import argparse
import json
import math
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.bench_api import fill as fill_api
from benchmarks.bench_api import serving
from benchmarks.bench_events import (
    ANSWERS,
    FOCUS,
    Site,
    prepare_offers,
    run_mosquitto,
    run_process,
    run_worker,
    send_load,
)
from benchmarks.bench_events import fill as fill_shop
from benchmarks.load_generator import measure
from benchmarks.measuring import figure, run_pollux
from orchestration.learn.recommend.land import read_note
from orchestration.scans import scan_csv
from orchestration.transform.record import read_record
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from sample.household import generate_household

SCALES = (0.1, 1.0, 3.0, 10.0)
# More than files, landing zone, warehouse and PostgreSQL take for scale 1.
GIB_OF_SCALE_1 = 2
CUSTOMERS = (10_000, 100_000, 1_000_000)
RATE = 200
SECONDS = 20.0
REPETITIONS = 3
# More rows like the first one of a table, up to a key.
GROW = """
insert into {table}
select grown.*
from generate_series((select max({key}) + 1 from {table}), %s) as number
cross join lateral jsonb_populate_record(
    null::{table},
    (select to_jsonb(one) from {table} as one limit 1) || jsonb_build_object('{key}', number)
) as grown
"""
HOUSEHOLD_TABLES = ("household_rfm", "household_segments", "hh_summary")

Measures = dict[str, tuple[float, str]]


def run() -> Iterator[dict[str, Any]]:
    """Measures all parts; a scale that the disk does not hold is left out."""
    for part in PARTS.values():
        yield from part()


def grow_household(scales: Sequence[float] = SCALES) -> Iterator[dict[str, Any]]:
    """The household domain from its files to its release, and how each step grows."""
    found: dict[float, Measures] = {}
    for scale in scales:
        free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
        if free < scale * GIB_OF_SCALE_1:
            print(f"  scale {scale:g} is left out: it needs {scale * GIB_OF_SCALE_1:.0f} GiB free")
            continue
        found[scale] = _household(scale)
        for name, (value, unit) in found[scale].items():
            yield figure(f"{name}, scale {scale:g}", value, unit)
    if len(found) > 1:
        least, most = min(found), max(found)
        for name, (value, _) in found[most].items():
            slope = math.log(value / found[least][name][0]) / math.log(most / least)
            # 1 is in proportion: ten times the data, ten times the time.
            title = f"{name}: growth with data, {least:g} to {most:g}"
            yield figure(title, slope, "exponent", at_most=1)


def one_more_day(scales: Sequence[float] = (1.0,)) -> Iterator[dict[str, Any]]:
    """From a day's file to its release, where all days before it are released."""
    for scale in scales:
        with _household_files(scale) as (settings, files):
            lines = files / "transaction_data.csv"
            day = files / "day" / "transaction_data_day.csv"
            day.parent.mkdir()
            with duckdb.connect() as engine:
                engine.execute(f"create table lines as from {scan_csv(lines)}")
                last = "(select max(day) from lines)"
                for rows, path in ((f"day = {last}", day), (f"day < {last}", lines)):
                    engine.execute(f"copy (from lines where {rows}) to '{path}' (header)")
            load = ("load", "--domain", "household", "--from")
            run_pollux(settings.data_dir, *load, str(files))
            run_pollux(settings.data_dir, "build")
            loaded = run_pollux(settings.data_dir, *load, str(day.parent))
            built = run_pollux(settings.data_dir, "build")
            seconds = loaded.seconds + built.seconds
            yield figure(
                f"one more day, from its file to its release, scale {scale:g}",
                seconds,
                "s",
                at_most=15 * scale,
            )


def _household(scale: float) -> Measures:
    with _household_files(scale) as (settings, files):
        command = ("load", "--domain", "household", "--from", str(files))
        load = run_pollux(settings.data_dir, *command)
        build = run_pollux(settings.data_dir, "build", "--no-release")
        release = run_pollux(settings.data_dir, "release")
        record, learned = read_record(settings, "household"), read_note(settings)
    if record is None:
        raise RuntimeError("nothing was built")
    learn = float(learned["choose_seconds"] + learned["fit_and_score_seconds"])
    return {
        "load": (load.seconds, "s"),
        "dbt with its SQL": (record.seconds, "s"),
        "learning": (learn, "s"),
        "release": (release.seconds, "s"),
        "memory of load": (load.peak_mib, "MiB"),
        "memory of build and learning": (build.peak_mib, "MiB"),
        "memory of release": (release.peak_mib, "MiB"),
    }


@contextmanager
def _household_files(scale: float) -> Iterator[tuple[Settings, Path]]:
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder) / "data")
        files = Path(folder) / "files"
        generate_household(files, scale=scale, seed=1)
        try:
            yield settings, files
        finally:
            database = EmbeddedPostgres(settings.data_dir)
            database.stop()
            # For root and for long paths it is not under the data folder.
            shutil.rmtree(database.home, ignore_errors=True)


def grow_api(sizes: Sequence[float] = CUSTOMERS) -> Iterator[dict[str, Any]]:
    """A household from PostgreSQL by the API, among more and more."""
    yield from _flat("API, a household", sizes, _api_p50)


def grow_events(sizes: Sequence[float] = CUSTOMERS) -> Iterator[dict[str, Any]]:
    """Focus events of those in the shop, among more and more customers."""
    yield from _flat("worker, focus → prediction", sizes, _worker_p50)


def _flat(
    name: str, sizes: Sequence[float], p50_among: Callable[[int], float]
) -> Iterator[dict[str, Any]]:
    found = []
    for size in sizes:
        found.append(p50_among(int(size)))
        yield figure(f"{name}, p50 at {RATE}/s among {int(size):,} customers", found[-1], "ms")
    yield figure(f"{name}, slowest ÷ quickest", max(found) / min(found), "ratio", at_most=1.2)


def _api_p50(customers: int) -> float:
    with _empty_store() as (settings, database):
        fill_api(database)
        for table in HOUSEHOLD_TABLES:
            _grow(database, f"household__r1.{table}", "household_key", customers)
        # Any two of them are far apart.
        paths = [f"/v1/households/{1 + 7919 * n % customers}" for n in range(10_000)]
        with serving(settings, 0) as api:
            runs = [_open_run(api.port, paths) for _ in range(1 + REPETITIONS)]
    return statistics.median(runs[1:])


def _open_run(port: int, paths: list[str]) -> float:
    measured = measure(port=port, paths=paths, kind="open", seconds=SECONDS, rate=RATE)
    if set(measured.statuses) != {"200"}:
        raise RuntimeError(f"answers other than 200: {measured.statuses}")
    return measured.percentile_ms(50)


def _worker_p50(customers: int) -> float:
    with ExitStack() as stack:
        settings, database = stack.enter_context(_empty_store())
        fill_shop(database)
        _grow(database, "store__r1.customer_info", "customer_id", customers)
        port, _ = stack.enter_context(run_mosquitto(settings.data_dir))
        scorer = stack.enter_context(run_process(["scorer"]))
        stack.enter_context(run_worker(settings.data_dir, port, scorer))
        site = Site(port, FOCUS, ANSWERS, database)
        prepare_offers(site)
        runs = [
            send_load(site, RATE, SECONDS, f"growth{number}").measured
            for number in range(1 + REPETITIONS)
        ]
        if any(run.answered < run.sent for run in runs):
            raise RuntimeError("not every event was answered")
    return statistics.median(run.percentile_ms(50) for run in runs[1:])


@contextmanager
def _empty_store() -> Iterator[tuple[Settings, ServingStore]]:
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder), database_url=None)
        database = open_serving_store(settings)
        assert database.embedded is not None
        try:
            yield settings, database
        finally:
            database.embedded.stop()
            database.embedded.leave()
            shutil.rmtree(database.embedded.home, ignore_errors=True)


def _grow(database: ServingStore, table: str, key: str, upto: int) -> None:
    with database.connect(autocommit=True) as connection:
        connection.execute(GROW.format(table=table, key=key), [upto])
        connection.execute(f"vacuum analyze {table}")


PARTS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "day": one_more_day,
    "household": grow_household,
    "api": grow_api,
    "events": grow_events,
}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sizes", type=float, nargs="+", help="scales, or numbers of customers")
    given = parser.parse_args()
    for row in PARTS[given.part](*([given.sizes] if given.sizes else [])):
        print(json.dumps(row, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    _main()
