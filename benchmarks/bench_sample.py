"""What a newcomer waits for: the build of the sample, and the commands that ask about it.

Belongs here: `pollux up --once` in a new data folder, a second build, and the processor time of
`pollux status` and `--help`. Does not belong here: what Dagster's page and runs cost
(`bench_dagster`).
"""

import json
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import cpu_seconds, figure, run_pollux

BUILD = re.compile(r"build +(\d+ models, \d+ tests) on duckdb +([\d.]+) s")
REPETITIONS = 5


def run() -> Iterator[dict[str, Any]]:
    """Measures everything; takes about two minutes."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        data = Path(folder) / "sample"
        first = BUILD.search(run_pollux(data, "up", "--once").output)
        assert first is not None
        yield figure(f"a whole build of the sample, {first[1]}", float(first[2]), "s", at_most=15)
        again = BUILD.search(run_pollux(data, "build", "--no-release").output)
        assert again is not None
        yield figure("the same again by pollux build", float(again[2]), "s")
        for name, arguments in ("status", ["status"]), ("--help", ["--help"]):
            command = [sys.executable, "-m", "cli.main", *arguments]
            seconds = statistics.median(
                cpu_seconds(command, {"POLLUX_DATA_DIR": str(data)}) for _ in range(REPETITIONS)
            )
            yield figure(f"processor time of pollux {name}", seconds, "s", at_most=0.3)
        run_pollux(data, "down")


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
