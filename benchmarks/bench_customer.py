"""The customer domain at scale 1: vouchers against PySpark, and two million accounts.

Belongs here: what is measured, and on which data. The same rules in PySpark are
`vouchers_pyspark`; without PySpark (`pip install .[spark]`) that part is left out, and says so.
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
from orchestration.sample.customer import generate_customer
from orchestration.transform.dbt import dbt_command, dbt_environment, target_dir
from pollux.runtime.settings import Settings

REPETITIONS = 5
# All that is made of the assignments, staging to marts.
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
    sql = statistics.median(_model_seconds(settings) for _ in range(REPETITIONS))
    figures = [
        figure("load of 500,000 voucher assignments", load.seconds, "s"),
        figure("build of the domain with tests, vouchers only", build.seconds, "s"),
        figure("voucher SQL, sum of node times", sql, "s"),
    ]
    if importlib.util.find_spec("pyspark") is None:
        print("  PySpark is not installed (pip install .[spark]): not compared with it")
        return figures
    spark = _by_pyspark(settings.landing_dir / "customer" / "voucher_assignments", root / "spark")
    warm = statistics.median(spark[1:])
    return [
        *figures,
        figure("the same in PySpark local[2], first time in a session", spark[0], "s"),
        figure("the same, median of the later times", warm, "s"),
        figure("PySpark ÷ SQL, later times", warm / sql, "ratio", at_least=10),
    ]


def _model_seconds(settings: Settings) -> float:
    # One thread, so that no node's time holds another's.
    command = dbt_command("run", "--threads", "1", "--select", VOUCHERS, target="duckdb")
    run_measured(command, dbt_environment(settings, None))
    results = json.loads((target_dir(settings) / "run_results.json").read_text())["results"]
    return float(sum(result["execution_time"] for result in results))


def _by_pyspark(landing: Path, out: Path) -> list[float]:
    script = Path(__file__).with_name("vouchers_pyspark.py")
    ran = run_measured([sys.executable, str(script), str(landing), str(out)], {})
    # Its progress bar shares the line.
    answer = ran.output[ran.output.rindex('{"seconds"') :]
    seconds: list[float] = json.loads(answer)["seconds"]
    return seconds


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
