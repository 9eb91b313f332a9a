"""The customer domain at scale 1: vouchers against PySpark, and two million accounts.

`vouchers_pyspark` has the same rules in PySpark; without PySpark (`make spark`) that part
is left out with a message.
"""

import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figures, figure, run_measured, run_pollux
from orchestration.transform.dbt import dbt_command, dbt_environment
from pollux.runtime.settings import Settings
from sample.customer import generate_customer

REPETITIONS = 5
SESSIONS = 3
# All models of the assignments, staging to marts.
VOUCHERS = "source:customer.voucher_assignments+"


def run() -> Iterator[dict[str, Any]]:
    """Measures everything; takes about five minutes."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        root = Path(folder)
        generate_customer(root / "files", scale=1, seed=1)
        yield from _accounts(root)
        yield from _vouchers(root)


def _accounts(root: Path) -> Figures:
    settings = Settings(data_dir=root / "accounts")
    files = [str(file) for file in sorted((root / "files").glob("*.csv"))]
    arguments = [part for file in files for part in ("--from", file)]
    load = run_pollux(settings.data_dir, "load", "--domain", "customer", *arguments)
    build = run_pollux(settings.data_dir, "build", "--domain", "customer", "--no-release")
    return [
        figure("load of 2,000,000 accounts with their enrichments", load.seconds, "s"),
        figure("memory of that load", load.peak_mib, "MiB", at_most=1024),
        figure("their build with tests", build.seconds, "s"),
        figure("load and build together", load.seconds + build.seconds, "s", at_most=30),
    ]


def _vouchers(root: Path) -> Figures:
    settings = Settings(data_dir=root / "vouchers")
    file = next((root / "files").glob("voucher_assignments*"))
    load = run_pollux(settings.data_dir, "load", "--domain", "customer", "--from", str(file))
    build = run_pollux(settings.data_dir, "build", "--domain", "customer", "--no-release")
    sql = statistics.median(_sql_seconds(settings) for _ in range(REPETITIONS))
    figures = [
        figure("load of 500,000 voucher assignments", load.seconds, "s"),
        figure("build of the domain with tests, vouchers only", build.seconds, "s"),
        figure("voucher SQL, sum of its statements' times", sql, "s"),
    ]
    if importlib.util.find_spec("pyspark") is None:
        print("  PySpark is not installed (make spark): not compared with it")
        return figures
    landing = settings.landing_dir / "customer" / "voucher_assignments"
    spark = [_by_pyspark(landing, root / f"spark{number}") for number in range(SESSIONS)]
    cold = statistics.median(first for first, *_ in spark)
    warm = statistics.median(seconds for _, *later in spark for seconds in later)
    return [
        *figures,
        # Both in a new process, as a pipeline runs; its start is not counted.
        figure("the same in PySpark local[2], median of new sessions", cold, "s"),
        figure("PySpark ÷ SQL", cold / sql, "ratio", at_least=10),
        figure("the same again in a session that has run it before", warm, "s"),
        figure("PySpark ÷ SQL, run again in a session", warm / sql, "ratio"),
    ]


def _sql_seconds(settings: Settings) -> float:
    """Seconds that dbt waited for the models' statements; each run is a separate process."""
    log = settings.logs_dir / "dbt.log"
    log.unlink(missing_ok=True)
    # One thread, so that no statement's time includes another's.
    options = ["--threads", "1", "--log-level-file", "debug", "--log-format-file", "json"]
    command = dbt_command("run", *options, "--select", VOUCHERS, target="duckdb")
    run_measured(command, dbt_environment(settings, None))
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return sum(
        event["data"]["elapsed"]
        for event in events
        if event["info"]["name"] == "SQLQueryStatus"
        and event["data"].get("node_info", {}).get("resource_type") == "model"
    )


def _by_pyspark(landing: Path, out: Path) -> list[float]:
    script = Path(__file__).with_name("vouchers_pyspark.py")
    ran = run_measured([sys.executable, str(script), str(landing), str(out)], {})
    # Its progress bar is on the same line.
    answer = ran.output[ran.output.rindex('{"seconds"') :]
    seconds: list[float] = json.loads(answer)["seconds"]
    return seconds


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
