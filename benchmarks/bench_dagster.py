"""What Dagster costs beyond the work: the full job from the inbox to the release.

Belongs here: the time of a run outside load, dbt, learning and release, which other benchmarks
measure.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import figure, free_port, run_measured, run_pollux
from orchestration.learn.recommend.land import read_note
from orchestration.load.load_log import read_load_log
from orchestration.release.registry import read_releases
from orchestration.transform.record import read_record
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from sample.household import generate_household

SCALE = 0.1
WAIT_SECONDS = 600
LAUNCH = """
mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { id } }
} }
"""
STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def run() -> Iterator[dict[str, Any]]:
    """Measures a first run with new files, and `pollux build` against its parts."""
    with tempfile.TemporaryDirectory(prefix="px", dir="/tmp") as folder:
        settings = Settings(data_dir=Path(folder) / "dagster", dagster_port=free_port())
        files = Path(folder) / "files"
        generate_household(files, scale=SCALE, seed=1)
        with _dagster(settings) as ready_seconds:
            yield figure(
                "pollux dagster in a new folder, until its page answers", ready_seconds, "s"
            )
            # Moved there at once, and taken by this run before the sensor requests one.
            settings.inbox_dir.mkdir(parents=True, exist_ok=True)
            shutil.move(files, settings.inbox_dir / "household")
            started = time.monotonic()
            _run_job(settings, "everything")
            wall = time.monotonic() - started
            load, build, release = _parts(settings)
            learn = _learn_seconds(settings)
        # Whoever starts it again does not wait for dbt to parse the project.
        with _dagster(settings) as ready_seconds:
            yield figure("the same in a folder where it ran before", ready_seconds, "s", at_most=10)
        yield figure(f"full job at scale {SCALE}, as asked for until its end", wall, "s")
        yield figure("of it load", load, "s")
        yield figure("of it dbt with its SQL", build, "s")
        yield figure("of it learning", learn, "s")
        yield figure("of it release", release, "s")
        yield figure("orchestration", wall - load - build - learn - release, "s", at_most=8)
        in_process = run_pollux(settings.data_dir, "build")
        _, build, release = _parts(settings)
        yield figure(
            "pollux build, beyond dbt and release",
            in_process.seconds - build - release,
            "s",
            at_most=3,
        )
        command = [sys.executable, "-c", "import orchestration.chain"]
        imports = run_measured(command, {"PYTHONPATH": str(PROJECT_DIR)})
        yield figure("of it imports", imports.seconds, "s")


def _learn_seconds(settings: Settings) -> float:
    note = read_note(settings)
    return float(note["choose_seconds"] + note["fit_and_score_seconds"])


def _parts(settings: Settings) -> tuple[float, float, float]:
    record = read_record(settings, "household")
    assert record is not None
    with open_serving_store(settings).connect() as connection:
        release = read_releases(connection, "household")[0].seconds
    loaded = sum(entry["seconds"] for entry in read_load_log(settings))
    return loaded, record.seconds, release


@contextmanager
def _dagster(settings: Settings) -> Iterator[float]:
    """Runs `pollux dagster`; yields the seconds until it was ready."""
    variables = {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "POLLUX_DAGSTER_PORT": str(settings.dagster_port),
    }
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "dagster"],
        env=os.environ | variables,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if "is ready" not in process.stdout.readline():
            raise RuntimeError("Dagster did not come up")
        yield time.monotonic() - started
    finally:
        process.terminate()
        process.wait(timeout=60)


def _run_job(settings: Settings, job: str) -> None:
    selector = {"repositoryLocationName": "pollux", "repositoryName": "__repository__"}
    params = {"selector": selector | {"jobName": job}, "mode": "default", "runConfigData": {}}
    run_id = _ask(settings, LAUNCH, params=params)["launchRun"]["run"]["id"]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        status = _ask(settings, STATUS, run=run_id)["runOrError"]["status"]
        if status == "SUCCESS":
            return
        if status in {"FAILURE", "CANCELED"}:
            break
        time.sleep(0.2)
    raise RuntimeError(f"the run ended as {status}")


def _ask(settings: Settings, query: str, **variables: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{settings.dagster_port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
    return data


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row, ensure_ascii=False))
