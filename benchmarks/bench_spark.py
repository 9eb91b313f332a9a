"""The household domain's tables built by DuckDB and by Spark, at growing numbers of transactions.

Each build is the first of a new server, whose start is not counted; tests of the data are left out,
which cost Spark as much at any scale, and nothing is learned. Without Spark (`make spark`) this
part is left out with a message.
"""

import json
import re
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring import Figures, figure, run_measured, run_pollux
from orchestration.load.declarations import read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.transform.dbt import dbt_command, dbt_environment
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.spark import check_installed, spark_parts, start_spark, stop_spark
from pollux.runtime.spark_connect import SparkServer
from sample.household import generate_household

SCALES = (1.0, 3.0, 10.0)
BUILD = (
    "build",
    *("--select", "+path:models/marts/household"),
    *("--resource-type", "seed", "--resource-type", "model"),
)
# Workers of Spark; without any, one process does all the work.
ENGINES = {"DuckDB": None, "Spark in one process": 0, "Spark with 2 workers": 2}
DUCKDB_MIB, EXECUTOR_MIB = 4096, 1536


def run(*scales: float) -> Iterator[dict[str, Any]]:
    """Measures builds: seconds, CPU seconds of all processes, memory of the largest."""
    try:
        check_installed()
    except PolluxError as error:
        print(f"  Not measured: {error}")
        return
    chosen = scales or SCALES
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for scale in chosen:
        with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
            root = Path(folder)
            rows = generate_household(root / "files", scale=scale, seed=1)
            run_pollux(root / "data", "load", "--domain", "household", "--from", f"{root}/files")
            settings = Settings(data_dir=root / "data")
            ensure_empty_parts(settings, read_datasets(PROJECT_DIR).values())
            for engine, workers in ENGINES.items():
                where = f"{engine}, {rows['transaction_data.csv'] / 1e6:.2g} million transactions"
                figures = _build(settings, where, workers)
                seconds[engine].append(figures[1]["value"])
                yield from figures
    times = chosen[-1] / chosen[0]
    for engine, (first, *_, last) in seconds.items() if len(chosen) > 1 else ():
        yield figure(f"{engine}: CPU for {times:g} times as many ÷ CPU", last / first, "ratio")


def _build(settings: Settings, where: str, workers: int | None) -> Figures:
    if workers is None:
        return _measured(settings, where, None)
    server = start_spark(settings, workers=workers)
    try:
        return _measured(settings, where, server)
    finally:
        stop_spark(settings)


def _measured(settings: Settings, where: str, server: SparkServer | None) -> Figures:
    """A build's seconds, CPU seconds of all its processes, and memory."""
    before = _cpu_seconds(_spark(settings))
    ran = run_measured(
        dbt_command(*BUILD, target="spark" if server else "duckdb"),
        dbt_environment(settings, None, server),
    )
    spark = _spark(settings)
    cpu = _cpu_seconds(spark) - before
    executors = [one for one in spark if "CoarseGrainedExecutorBackend" in str(one.cmdline())]
    if not spark:
        memory = figure("memory of that build", ran.peak_mib, "MiB", at_most=DUCKDB_MIB)
    elif not executors:
        memory = figure("memory of Spark", max(map(_peak_mib, spark)), "MiB")
    else:
        most = max(map(_peak_mib, executors))
        memory = figure("memory of its larger executor", most, "MiB", at_most=EXECUTOR_MIB)
    return [
        figure(f"build by {where}", ran.seconds, "s"),
        figure("CPU of that build, all processes", cpu, "s"),
        memory,
    ]


def _spark(settings: Settings) -> list[psutil.Process]:
    """The processes of a Spark server with its executors; none where none runs."""
    parts = spark_parts(settings).values()
    found = [one for part in parts for one in (part, *part.children(recursive=True))]
    # A worker asks the system at times, and reads what it said some time later.
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]


def _cpu_seconds(running: list[psutil.Process]) -> float:
    """CPU seconds so far of commands that have ended, and of what is running."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = [process.cpu_times() for process in running]
    return ended.ru_utime + ended.ru_stime + sum(time.user + time.system for time in times)


def _peak_mib(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


if __name__ == "__main__":
    for row in run(*(float(scale) for scale in sys.argv[1:])):
        print(json.dumps(row, ensure_ascii=False))
