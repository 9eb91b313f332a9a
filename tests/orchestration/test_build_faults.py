"""Faults from outside a build: each ends clearly, and the next build is right."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from orchestration.build import build
from orchestration.learn.recommend.land import read_note
from orchestration.load import landing
from orchestration.release.errors import ReleaseError
from orchestration.release.publish import release
from orchestration.release.registry import current_number
from orchestration.transform.errors import BuildError
from orchestration.transform.record import read_record
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.kills import kill_at, steps_of

pytestmark = pytest.mark.endurance

READER = """
import duckdb, sys
warehouse = duckdb.connect(sys.argv[1], read_only=True)
print("reading", flush=True)
sys.stdin.read()
"""


def served(settings: Settings) -> int | None:
    with open_serving_store(settings).connect() as connection:
        return current_number(connection, "household")


def command(
    settings: Settings,
    *arguments: str,
    limit: str = ":",
    **environment: str,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-c", f'{limit}; exec "$@"', "-", sys.executable, "-m", "cli.main", *arguments],
        env=os.environ | {"POLLUX_DATA_DIR": str(settings.data_dir)} | environment,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=600)
    assert "Traceback" not in said, said
    return process.returncode, said


def test_two_builds_at_once_run_one_after_the_other(installation: Settings) -> None:
    patient = {"POLLUX_LOCK_TIMEOUT_SECONDS": "500"}
    both = [command(installation, "build", **patient) for _ in range(2)]
    ended = sorted(finish(process) for process in both)
    # Whoever comes second may begin before the first one releases, which is told so.
    assert ended[0][0] == 0, ended
    assert ended[1][0] == 0 or (ended[1][0] == 5 and "still runs" in ended[1][1]), ended
    assert served(installation) in (1, 2)
    record = read_record(installation, "household")
    assert record is not None
    assert record.status == "passed"


def test_build_while_somebody_reads_the_warehouse(installation: Settings) -> None:
    release(installation, "household")
    with reader_of(installation.warehouse_path) as pid:
        code, said = finish(command(installation, "build"))
    assert code == 4, said
    assert f"{installation.warehouse_path} is open in process {pid}" in " ".join(said.split())
    assert served(installation) == 1
    assert finish(command(installation, "build"))[0] == 0
    assert served(installation) == 2


@contextmanager
def reader_of(warehouse: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        yield process.pid
        process.kill()


def test_disk_that_fills_up_inside_dbt(installation: Settings) -> None:
    """A limit on the size of files stands for a full disk: writing fails in the middle."""
    release(installation, "household")
    blocks = installation.warehouse_path.stat().st_size // 2048
    code, said = finish(command(installation, "build", limit=f"ulimit -f {blocks}"))
    assert code == 4, said
    assert "File too large" in said or "could not" in said.lower(), said
    assert served(installation) == 1
    record = read_record(installation, "household")
    assert record is not None
    assert record.status != "passed"
    assert finish(command(installation, "build"))[0] == 0
    assert served(installation) == 2


def test_learning_killed_at_every_step_is_done_again(installation: Settings) -> None:
    steps = steps_of("learn")
    assert len(steps) >= 2
    for step in steps:
        note = installation.landing_dir / "learned" / "product_recommendations"
        (note / "product_recommendations.json").unlink(missing_ok=True)
        kill_at(step, build, installation, ["household"])
        assert read_note(installation) == {}
    report = build(installation, ["household"])
    report.raise_if_failed()
    assert read_note(installation)["rows"] > 0
    release(installation, "household")
    with duckdb.connect(installation.warehouse_path, read_only=True) as warehouse:
        rows = warehouse.execute(
            "select count(*) from warehouse_marts.product_recommendations"
        ).fetchall()
    assert rows == [(read_note(installation)["rows"],)]


def test_server_killed_in_the_middle_of_a_postgres_build(installation: Settings) -> None:
    on_postgres = installation.model_copy(update={"engine": "postgres"})
    embedded = open_serving_store(on_postgres).embedded
    assert embedded is not None
    ended = 0

    def kill_once(_node: str, done: int, _total: int) -> None:
        nonlocal ended
        ended = done
        if done == 20:
            embedded.kill()

    with pytest.raises(BuildError, match="dbt ended with code 2 before its end") as refused:
        build(on_postgres, ["household"], kill_once)
    assert ended >= 20
    assert "Is the server running" in str(refused.value)
    assert "\x1b" not in str(refused.value)
    with pytest.raises(ReleaseError, match="did not end"):
        release(on_postgres, "household")
    again = build(on_postgres, ["household"])
    again.raise_if_failed()
    release(on_postgres, "household")
    assert served(on_postgres) == 1
    assert landing.fingerprint(on_postgres, "household")
