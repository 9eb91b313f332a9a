"""The household domain at scale 1: its SQL against others' and its release.

It is compared with a handwritten script (`household_handwritten.sql`), with pandas
(`tests.oracles.household`) and with Polars (`household_polars`).
"""

import json
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psycopg

from benchmarks.household_polars import household_marts as household_marts_by_polars
from benchmarks.measuring import Figures, figure, run_measured, run_pollux
from orchestration.release.publish import release, rollback
from orchestration.scans import scan_csv, scan_parts
from orchestration.transform.dbt import dbt_command, dbt_environment, target_dir
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from sample.household import generate_household
from services.common.contracts import contract_of
from tests.oracles.household import SECTIONS, household_marts, household_seeds

STUDY = "complete_journey"
REPETITIONS = 3
HISTORY = "household_segment_history"
READERS = 4


def run() -> Iterator[dict[str, Any]]:
    """Measures everything; takes about ten minutes and 10 GiB of memory, for pandas."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        root = Path(folder)
        generate_household(root / "full", scale=1, seed=1, causal=True)
        generate_household(root / "lean", scale=1, seed=1)
        yield from _load_and_sql(root)
        yield from _release(root)
        yield from _postgres(root)


def _load_and_sql(root: Path) -> Figures:
    settings = Settings(data_dir=root / "duckdb", study=STUDY)
    load = run_pollux(
        settings.data_dir, "load", "--domain", "household", "--from", str(root / "full")
    )
    build = run_pollux(settings.data_dir, "build", "--no-release", POLLUX_STUDY=STUDY)
    landing = settings.landing_dir / "household"
    by_dbt, by_hand = [], []
    for _ in range(REPETITIONS):
        by_dbt.append(_model_seconds(settings))
        by_hand.append(_by_hand(landing, root / "hand.duckdb"))
    by_pandas, marts = run_pandas(landing)
    by_polars = run_polars(landing, marts)
    sql, history = (statistics.median(seconds) for seconds in zip(*by_dbt, strict=True))
    hand, history_hand = (statistics.median(seconds) for seconds in zip(*by_hand, strict=True))
    return [
        figure("load of all files, 39.6 million rows", load.seconds, "s"),
        figure("memory of that load", load.peak_mib, "MiB", at_most=4096),
        figure("build with tests, engine duckdb, 36.8 million promotion rows", build.seconds, "s"),
        figure("memory of that build", build.peak_mib, "MiB", at_most=4096),
        figure("household SQL, sum of node times", sql, "s"),
        figure("the same by one hand-written DuckDB script", hand, "s"),
        figure("SQL ÷ by hand", sql / hand, "ratio", at_most=1.5),
        figure("household_segment_history, of these", history, "s"),
        figure("the same by hand", history_hand, "s"),
        figure("history ÷ by hand", history / history_hand, "ratio", at_most=2),
        figure("all of it by pandas, reading not counted", by_pandas, "s"),
        figure("pandas ÷ SQL", by_pandas / sql, "ratio", at_least=6),
        figure("all of it by Polars, lazy and streaming", by_polars, "s"),
        figure("Polars ÷ SQL", by_polars / sql, "ratio", at_least=1.5),
    ]


def _model_seconds(settings: Settings) -> tuple[float, float]:
    """Seconds of the domain's nodes, and of the history's, which works out the views it reads."""
    # One thread, so that no node's time includes another's.
    options = ["--threads", "1", "--select", "group:household"]
    command = dbt_command("run", *options, target="duckdb")
    run_measured(command, dbt_environment(settings, None))
    results = json.loads((target_dir(settings) / "run_results.json").read_text())["results"]
    seconds = {result["unique_id"].split(".")[-1]: result["execution_time"] for result in results}
    return sum(seconds.values()), seconds[HISTORY]


def _by_hand(landing: Path, path: Path) -> tuple[float, float]:
    """Seconds of both scripts, and of the statements that make the history."""
    path.unlink(missing_ok=True)
    sums = ",\n".join(
        f"coalesce(sum(sales_value) filter (section = '{section}'), 0)::decimal(18, 2) as {section}"
        for section in SECTIONS
    )
    script = (PROJECT_DIR / "benchmarks" / "household_handwritten.sql").read_text()
    script = re.sub(r"\{landing\}/(\w+)", lambda found: scan_parts(landing / found[1]), script)
    script = script.replace("{section_sums}", sums)
    script = script.replace("{sections}", _seed("commodity_sections"))
    segments = (PROJECT_DIR / "benchmarks" / "segments_handwritten.sql").read_text()
    segments = segments.replace("{grid}", _seed("segment_grid"))
    table, history, others = segments.replace("{segments}", _seed("segments")).split(";", 2)
    limits = {"memory_limit": "3GB", "preserve_insertion_order": False}
    with duckdb.connect(path, config=limits) as connection:
        times = [time.perf_counter()]
        for part in (script, f"{table}; {history}", others):
            connection.execute(part).fetchall()
            times.append(time.perf_counter())
    return times[3] - times[0], times[2] - times[1]


def _seed(name: str) -> str:
    return scan_csv(PROJECT_DIR / "seeds" / f"{name}.csv", {"header": "true"})


def run_pandas(landing: Path) -> tuple[float, dict[str, pd.DataFrame]]:
    raw = {
        folder.name: duckdb.sql(f"from {scan_parts(folder)}").df() for folder in landing.iterdir()
    }
    seeds = household_seeds(PROJECT_DIR / "seeds")
    started = time.perf_counter()
    marts = household_marts(raw, **seeds)
    return time.perf_counter() - started, marts


def run_polars(landing: Path, expected: dict[str, pd.DataFrame]) -> float:
    """Median seconds, after one run whose marts must be these."""
    found = household_marts_by_polars(landing, PROJECT_DIR / "seeds")
    for name, mart in expected.items():
        demand_equal(name, found.pop(name).to_pandas(), mart)
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        household_marts_by_polars(landing, PROJECT_DIR / "seeds")
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def demand_equal(name: str, found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Raises `RuntimeError` where marts differ; ratios may by 1e-9."""
    key = list(contract_of("household", name).key)
    sides = [mart.sort_values(key, ignore_index=True) for mart in (found, expected)]
    if {*found.columns} != {*expected.columns} or len(found) != len(expected):
        raise RuntimeError(f"{name}: other columns or another number of rows by Polars")
    for column in expected.columns:
        left, right = (_comparable(side[column]) for side in sides)
        if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
            is_equal = np.allclose(left, right, rtol=1e-9, atol=0, equal_nan=True)
        else:
            is_equal = list(left) == list(right)
        if not is_equal:
            raise RuntimeError(f"{name}.{column} differs by Polars")


def _comparable(values: pd.Series) -> "np.ndarray | list[str]":
    """Numbers and dates as numbers, texts as they are; a null is one of its kind."""
    present = values.dropna()
    if len(present) and isinstance(present.iloc[0], str):
        return values.fillna("").astype(str).tolist()
    if pd.api.types.is_numeric_dtype(present.infer_objects()):
        return pd.to_numeric(values).to_numpy("float64", na_value=np.nan)
    days = pd.to_datetime(values) - pd.Timestamp(2000, 1, 1)
    return days.dt.days.to_numpy("float64", na_value=np.nan)


def _release(root: Path) -> Figures:
    settings = Settings(data_dir=root / "duckdb", study=STUDY)
    run_pollux(settings.data_dir, "build", "--no-release", POLLUX_STUDY=STUDY)
    database = open_serving_store(settings)
    first = release(settings, "household")
    run_pollux(settings.data_dir, "build", "--no-release", POLLUX_STUDY=STUDY)
    reading = _Reading(database.reader_url)
    second = release(settings, "household")
    switches = [second.switch_seconds]
    switches += [
        rollback(settings, "household", to=1 + number % 2).switch_seconds for number in range(20)
    ]
    answers, wrong = reading.stop()
    if database.embedded is not None:
        database.embedded.leave()
    return [
        figure("release of all household marts", first.seconds, "s", at_most=5),
        figure(f"release while {READERS} readers read", second.seconds, "s"),
        figure("the switch while they read, slowest of 21", max(switches) * 1000, "ms", at_most=10),
        figure("answers read meanwhile", answers, "answers"),
        figure("of them errors, empty or mixed", wrong, "answers", at_most=0),
    ]


class _Reading:
    """Readers that repeatedly join two tables of the current release."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._answers = 0
        self._wrong = 0
        self._threads = [threading.Thread(target=self._read) for _ in range(READERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> tuple[int, int]:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self._answers, self._wrong

    def _read(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._ended.is_set():
                try:
                    row = connection.execute(
                        "select number from release.current where domain = 'household'"
                    ).fetchone()
                    number = row[0] if row else 0
                    found = connection.execute(
                        f"select rfm.total_sales = summary.total_sales "
                        f"from household__r{number}.household_rfm as rfm "
                        f"join household__r{number}.hh_summary as summary using (household_key) "
                        "where household_key = 1"
                    ).fetchone()
                    self._wrong += found != (True,)
                except psycopg.Error:
                    self._wrong += 1
                self._answers += 1


def _postgres(root: Path) -> Figures:
    settings = Settings(data_dir=root / "postgres", engine="postgres", study=STUDY)
    load = ["load", "--domain", "household", "--from", str(root / "lean")]
    run_pollux(settings.data_dir, *load)
    database = open_serving_store(settings)
    # The first build copies the raw tables; dbt is measured from start to end.
    run_pollux(
        settings.data_dir, "build", "--no-release", POLLUX_ENGINE="postgres", POLLUX_STUDY=STUDY
    )
    command = dbt_command("build", "--exclude-resource-type", "unit_test", target=settings.engine)
    build = run_measured(command, dbt_environment(settings, database))
    if database.embedded is not None:
        database.embedded.leave()
    return [
        figure("whole dbt build with tests, engine postgres", build.seconds, "s", at_most=90),
    ]


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
