"""Runs dbt as a separate process and reads its log and artifacts.

Belongs here: command line, environment and artifacts of dbt. Does not belong here: what a
failure means for a domain (`orchestration.build`).
"""

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.transform.dbt_log import dbt_log, write_event
from orchestration.transform.errors import BuildError
from orchestration.transform.study import study_of
from pollux.masking import without_values
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.spark_connect import SparkServer

Process = subprocess.Popen[str]
PROGRAM = Path(__file__).with_name("dbt_program.py")
# Exit codes of a complete run: everything passed; something failed.
ENDED = {0, 1}
RESULT_EVENTS = {"LogModelResult", "LogSeedResult", "LogTestResult", "LogUnitTestResult"}
# How many of dbt's last lines an error shows.
SHOWN_LINES = 15
# How often a build looks whether what it needs is still there.
WATCH_SECONDS = 2
# Session options of a build on PostgreSQL: sorts and hashes in memory, no wait for the disk.
POSTGRES_OPTIONS = (
    "-c work_mem=256MB -c maintenance_work_mem=256MB -c hash_mem_multiplier=2 -c jit=off "
    "-c synchronous_commit=off"
)


@dataclass(frozen=True)
class NodeResult:
    """The result of a model, seed or test: dbt's `status`, seconds, failing rows."""

    unique_id: str
    status: str
    seconds: float
    failures: int
    message: str
    compiled_code: str

    @property
    def is_failed(self) -> bool:
        """Whether it ran and failed."""
        return self.status not in {"success", "pass", "warn", "skipped", "no-op"}


@dataclass(frozen=True)
class NodeEnded:
    """A node that ended while dbt is still running: its result as far as the log tells.

    `done` of `total` nodes have ended, this one included.
    """

    unique_id: str
    name: str
    status: str
    seconds: float
    failures: int
    done: int
    total: int


@dataclass(frozen=True)
class DbtRun:
    """The artifacts of one dbt command."""

    invocation_id: str
    results: tuple[NodeResult, ...]
    manifest: dict[str, Any]


def target_dir(settings: Settings) -> Path:
    """The folder of an installation's dbt artifacts."""
    return settings.data_dir / "dbt"


def dbt_environment(
    settings: Settings, database: ServingStore | None, server: SparkServer | None = None
) -> dict[str, str]:
    """The environment variables that a dbt process of this installation needs."""
    environment = os.environ | {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "POLLUX_STUDY": study_of(settings),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_TARGET_PATH": str(target_dir(settings)),
        "DBT_LOG_PATH": str(settings.logs_dir),
        # `dbt_log` writes one.
        "DBT_LOG_LEVEL_FILE": "none",
    }
    if database is not None:
        environment |= database.libpq_environment() | {"PGOPTIONS": POSTGRES_OPTIONS}
    if server is not None:
        environment |= server.environment() | {
            "POLLUX_LAKE_URL": settings.spark_lake,
            "POLLUX_LANDING_URL": settings.spark_landing,
        }
    return environment


def dbt_command(verb: str, *arguments: str, target: str) -> list[str]:
    """A dbt command line for this project that works from any folder."""
    return [
        # -P, or modules beside it would be taken for dbt's.
        *(sys.executable, "-P", str(PROGRAM), "--no-use-colors", "--log-format", "json", verb),
        *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR / "profiles")),
        *("--target", target, *arguments),
    ]


@contextmanager
def started_dbt(
    command: Sequence[str], *, settings: Settings, environment: dict[str, str], lock: int
) -> Iterator[Process]:
    """Starts dbt, which reads the project; `stream_dbt` has it run.

    A command with `--when-told` waits for that (`dbt_program`), any other one does not. `lock` is
    the warehouse lock, which the process inherits.
    """
    for name in ("run_results.json", "manifest.json"):
        (target_dir(settings) / name).unlink(missing_ok=True)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=PROJECT_DIR,
        pass_fds=[lock],
    ) as process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def stream_dbt(
    process: Process,
    *,
    settings: Settings,
    lost: Callable[[], str | None] = lambda: None,
) -> Generator[NodeEnded, None, DbtRun]:
    """Has dbt run to its end, whether its nodes pass or not, and yields nodes as they end.

    `lost` says what dbt needs and has lost, None while there is nothing; dbt is then ended, for it
    would wait. Raises `BuildError` when dbt itself cannot run.
    """
    assert process.stdout is not None  # noqa: S101
    problems: list[str] = []
    with dbt_log(settings.logs_dir) as log, _ended_without(process, lost) as reasons:
        _tell_to_run(process)
        for line in process.stdout:
            write_event(log, line)
            ended = _read_event(line, problems)
            if ended is not None:
                yield ended
        process.wait()
    artifacts = target_dir(settings)
    results_file = artifacts / "run_results.json"
    # An interrupted dbt also writes results, of the nodes it had finished.
    if process.returncode not in ENDED or not results_file.exists():
        if reasons:
            raise BuildError(reasons[0])
        tail = without_values("\n".join(_told(problems)[-SHOWN_LINES:])) or "it said nothing"
        raise BuildError(f"dbt ended with code {process.returncode} before its end:\n{tail}")
    return read_run(artifacts)


def _tell_to_run(process: Process) -> None:
    assert process.stdin is not None  # noqa: S101
    # A process that has ended says why itself.
    with suppress(BrokenPipeError):
        os.write(process.stdin.fileno(), b"\n")


@contextmanager
def _ended_without(process: Process, lost: Callable[[], str | None]) -> Iterator[list[str]]:
    """Ends a process when what it needs is lost, and lists what that was."""
    reasons: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not reasons and not over.wait(WATCH_SECONDS):
            if reason := lost():
                reasons.append(reason)
                process.terminate()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield reasons
    finally:
        over.set()
        watcher.join()


def _told(problems: Sequence[str]) -> list[str]:
    """The lines of dbt that help people: no traceback and no warnings of Python."""
    lines = [line for problem in problems for line in problem.splitlines()]
    plain = itertools.takewhile(lambda line: not line.startswith("Traceback"), lines)
    return [line for line in plain if "Warning: " not in line]


def read_run(artifacts: Path) -> DbtRun:
    """Reads the artifacts of the last dbt command from their folder."""
    run_results = json.loads((artifacts / "run_results.json").read_text())
    return DbtRun(
        invocation_id=run_results["metadata"]["invocation_id"],
        results=tuple(
            NodeResult(
                unique_id=result["unique_id"],
                status=result["status"],
                seconds=result["execution_time"],
                failures=result["failures"] or 0,
                message=result["message"] or "",
                compiled_code=result.get("compiled_code") or "",
            )
            for result in run_results["results"]
        ),
        manifest=json.loads((artifacts / "manifest.json").read_text()),
    )


def run_dbt(command: Sequence[str], environment: dict[str, str]) -> str | None:
    """Runs a dbt command to its end; what it said last if it failed, None if it did not."""
    result = subprocess.run(
        command,
        env=environment,
        cwd=PROJECT_DIR,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return None
    return "\n".join(read_messages(result.stdout)[-SHOWN_LINES:]) or result.stderr.strip()


def read_messages(log: str) -> list[str]:
    """The messages of a log in JSON, by line; what is no event stands as it is."""
    messages = []
    for line in log.splitlines():
        try:
            messages.append(json.loads(line)["info"]["msg"])
        except (ValueError, KeyError, TypeError):
            messages.append(line)
    return messages


def _read_event(line: str, problems: list[str]) -> NodeEnded | None:
    try:
        event = json.loads(line)
        info, data = event["info"], event["data"]
    except (ValueError, KeyError, TypeError):
        problems.append(line.rstrip())
        return None
    if info["level"] == "error":
        problems.append(info["msg"])
    if info["name"] not in RESULT_EVENTS:
        return None
    node = data.get("node_info", {})
    return NodeEnded(
        unique_id=node.get("unique_id", ""),
        name=node.get("node_name") or data.get("name", ""),
        status=node.get("node_status", ""),
        seconds=data.get("execution_time", 0.0),
        failures=data.get("num_failures") or 0,
        done=data.get("index", 0),
        # Tests use another name for it.
        total=data.get("total") or data.get("num_models") or 0,
    )
