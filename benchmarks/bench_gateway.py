"""The Python gateway on 2,000,000 accounts: reading, choosing, judging, enriching.

Each task runs in a process of its own, several times; the median counts. Times are measured with
everything imported, except for those of the imports.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measuring import figure, run_measured, run_pollux
from pollux import Cohort, Customer, col
from pollux.runtime.postgres import EmbeddedPostgres

REPETITIONS = 5
ENRICHED = 10_000
LOOKUPS = 200
DAY = date(2021, 1, 1)


def run() -> Iterator[dict[str, Any]]:
    """Measures everything; takes about five minutes."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        root = Path(folder)
        data = root / "data"
        files = str(root / "files")
        run_pollux(data, "sample", "--domain", "customer", "--scale", "1", "--to", files)
        run_pollux(data, "load", "--domain", "customer", "--from", files)
        run_pollux(data, "build", "--domain", "customer")
        postgres = EmbeddedPostgres(data)
        postgres.use()
        try:
            yield from measure(data)
        finally:
            postgres.stop()
            postgres.leave()


def measure(data_dir: Path) -> Iterator[dict[str, Any]]:
    """Measures on a data folder whose customers are released and whose store runs."""
    package = [_import_seconds("import pollux") for _ in range(REPETITIONS)]
    names = [_import_seconds("from pollux import Cohort, registry") for _ in range(REPETITIONS)]
    yield figure("import pollux", statistics.median(package), "s", at_most=0.3)
    yield figure("from pollux import Cohort, registry", statistics.median(names), "s")
    read = [_child(data_dir, "read", "release") for _ in range(REPETITIONS)]
    rows, seconds, memory = (statistics.median(values) for values in zip(*read, strict=True))
    yield figure("accounts", rows, "rows")
    yield figure("init_all_customers, Parquet", seconds, "s", at_most=3)
    yield figure("memory of that process", memory, "MiB", at_most=1024)
    _, seconds, memory = _child(data_dir, "read", "store")
    yield figure("init_all_customers, PostgreSQL", seconds, "s")
    yield figure("memory of that process", memory, "MiB", at_most=1024)
    (where,) = _child(data_dir, "where")
    yield figure("where on two columns", where, "s", at_most=0.2)
    judged, plain, plain_text = _child(data_dir, "judge")
    yield figure("generate_cohort by sign-up date", judged, "s")
    yield figure("the same over objects made with itertuples", plain, "s")
    yield figure("itertuples ÷ generate_cohort", plain / judged, "ratio", at_least=10)
    yield figure("the same, text as Python objects before", plain_text / judged, "ratio")
    for source in ("release", "store"):
        broadband, services, cashback = _child(data_dir, "enrich", source)
        for name, found in (
            ("broadband", broadband),
            ("initial services", services),
            ("cashback", cashback),
        ):
            what = f"{name} of {ENRICHED:,} customers, {source}"
            yield figure(what, found, "s", at_most=1)
    (lookup,) = _child(data_dir, "look_up")
    yield figure("from_id", lookup * 1000, "ms", at_most=5)


def _import_seconds(statement: str) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _child(data_dir: Path, *arguments: str) -> list[float]:
    command = [sys.executable, __file__, *arguments]
    ran = run_measured(command, {"POLLUX_DATA_DIR": str(data_dir), "POLLUX_DATABASE_URL": ""})
    found: list[float] = json.loads(ran.output.splitlines()[-1])
    return found


def _median(work: Callable[[], object], repetitions: int = REPETITIONS) -> float:
    taken = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def read(source: Any) -> list[float]:
    """Rows, seconds, and the process's most memory, MiB."""
    started = time.perf_counter()
    cohort = Cohort.init_all_customers(source=source)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [len(cohort), seconds, peak]


def where() -> list[float]:
    cohort = Cohort.init_all_customers()
    status = cohort[0].account_status
    cohort.where(account_status=status)
    return [_median(lambda: cohort.where(col("sign_up_date") >= DAY, account_status=status))]


def judge() -> list[float]:
    """Seconds by the gateway, by itertuples, and by itertuples with text made objects before.

    The gateway reads the cohort each time, so that nothing is cached; reading and making the frame
    are not counted on either side.
    """

    def chosen(customer: Any) -> bool:
        return bool(customer.sign_up_date is not None and customer.sign_up_date >= DAY)

    judged, kept = [], 0
    for _ in range(REPETITIONS):
        cohort = Cohort.init_all_customers()
        started = time.perf_counter()
        kept = len(cohort.generate_cohort(chosen))
        judged.append(time.perf_counter() - started)
    found = [statistics.median(judged)]
    frame = cohort.to_pandas()
    text = [name for name in frame if isinstance(frame[name].iloc[0], str)]
    for data in (frame, frame.astype(dict.fromkeys(text, object))):
        taken = []
        for _ in range(3):
            started = time.perf_counter()
            objects = list(data.itertuples(index=False))
            by_hand = [item for item in objects if chosen(item)]
            taken.append(time.perf_counter() - started)
            if len(by_hand) != kept:
                raise RuntimeError(f"{kept} and {len(by_hand)} customers were chosen")
            del objects, by_hand
        found.append(statistics.median(taken))
    return found


def enrich(source: Any) -> list[float]:
    cohort = Cohort.init_sample(ENRICHED, seed=1, source=source)
    return [
        _median(lambda name=name: cohort.update_customers(name))  # type: ignore[misc]
        for name in ("broadband", "initial_services", "cashback")
    ]


def look_up() -> list[float]:
    ids = iter(Cohort.init_sample(LOOKUPS + 1, seed=2).ids)
    Customer.from_id(next(ids))
    return [_median(lambda: Customer.from_id(next(ids)).account_status, LOOKUPS)]


TASKS = {"read": read, "where": where, "judge": judge, "enrich": enrich, "look_up": look_up}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in TASKS:
        print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
    else:
        for row in measure(Path(sys.argv[1])) if sys.argv[1:] else run():
            print(json.dumps(row, ensure_ascii=False), flush=True)
