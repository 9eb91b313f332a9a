"""Recommendations for all 2,500 households of scale 1: fitting, scoring, memory, evaluation.

Cornac judges the evaluation (`referee`).
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.measuring import figure, run_pollux
from orchestration.learn.recommend.household import (
    Purchases,
    as_history,
    learned_of,
    neighbours_of,
    recommend_all,
)
from orchestration.learn.recommend.model import Parameters, fit
from orchestration.learn.recommend.protocols import read_dated
from orchestration.scans import scan_csv

QUERY = """
select household_key as household, product_id as product,
    day * 1440 + trans_time // 100 * 60 + trans_time % 100 as minute
from {scan} where quantity > 0 and sales_value > 0
"""
UPDATES = 200


def run() -> Iterator[dict[str, Any]]:
    """Makes the sample of scale 1, then measures in a process of its own."""
    # Not for that process, whose memory is measured: Cornac takes 100 MiB.
    from benchmarks.referee import referee  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, "-m", "cli.main", "sample", "--domain", "household"]
        subprocess.run([*make, "--scale", "1", "--to", folder], check=True, capture_output=True)
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_recommend", f"{folder}/transaction_data.csv"],
            check=True,
            capture_output=True,
            text=True,
        )
        rows = referee(read_dated(Path(folder) / "transaction_data.csv").baskets)
        whole, quick = (_evaluate(Path(folder), *more) for more in ([], ["--quick"]))
    seconds, mib, update = (float(value) for value in child.stdout.split())
    yield figure("2,500 households, fit and score", seconds, "s", at_most=60)
    yield figure("most memory of that", mib, "MiB", at_most=4096)
    yield figure("one more basket, that household anew, median", update, "ms", at_most=5)
    yield figure("evaluation of 2,500 households' baskets, all methods", whole, "s", at_most=300)
    yield figure("the same, --quick", quick, "s")
    yield from rows


def _evaluate(folder: Path, *options: str) -> float:
    """Seconds of an evaluation of the files in the folder."""
    names = ("--user", "household_key", "--item", "product_id", "--basket", "basket_id")
    file = str(folder / "transaction_data.csv")
    command = ("evaluate", "recommend", "--from", file, *names, "--time", "day", *options)
    return run_pollux(folder, *command, "--to", str(folder / "evaluation")).seconds


def measure(file: Path) -> None:
    """Prints seconds, MiB and milliseconds."""
    with duckdb.connect() as engine:
        found = engine.execute(QUERY.format(scan=scan_csv(file))).fetchnumpy()
    history = as_history(Purchases(**{name: np.asarray(found[name], np.int64) for name in found}))
    started = time.perf_counter()
    recommend_all(history, Parameters())
    seconds = time.perf_counter() - started
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    model = fit(history.baskets, Parameters())
    learned, neighbours = learned_of(model, history), neighbours_of(model, history)
    rng = np.random.default_rng(0)
    updates = []
    for household in rng.choice(history.households, UPDATES):
        is_mine = found["household"] == household
        grown = pa.table(
            {
                "household_key": np.full(is_mine.sum() + 5, household),
                "product_id": np.append(found["product"][is_mine], history.products[:5]),
                "minute": np.append(found["minute"][is_mine], [found["minute"].max() + 1.0] * 5),
            }
        )
        said = neighbours.filter(pc.equal(neighbours["household_key"], int(household)))
        began = time.perf_counter()
        learned.recommend(grown, said)
        updates.append(time.perf_counter() - began)
    print(seconds, mib, float(np.median(updates)) * 1000)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
