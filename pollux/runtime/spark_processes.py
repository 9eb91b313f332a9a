"""The processes of an installation's own Spark: a Connect server, with workers a whole cluster.

Belongs here: their command lines, settings and record, which finds them again. Does not belong
here: when they are started and ended (`pollux.runtime.spark`).
"""

import json
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, sleep

import psutil

from pollux.runtime.errors import PolluxError
from pollux.runtime.processes import end, find, identity, start, write_record
from pollux.runtime.settings import Settings

HOST = "127.0.0.1"
TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - a name

START_SECONDS = 300
ANSWER_SECONDS = 5
POLL_SECONDS = 0.1
SHOWN_LINES = 10
LOCAL_MEMORY = "2g"

MASTER, SERVER = "master", "server"
CONNECT_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
MASTER_CLASS = "org.apache.spark.deploy.master.Master"
WORKER_CLASS = "org.apache.spark.deploy.worker.Worker"


class SparkError(PolluxError):
    """Spark is not installed, not reachable, or does not start."""

    exit_code = 4


@dataclass
class Record:
    """What is kept of an own server; `is_kept` if the user asked for it to stay."""

    port: int
    page: str
    token: str
    workers: int
    memory: str
    is_kept: bool
    is_ready: bool = False
    processes: dict[str, list[int | str | float]] = field(default_factory=dict)


def start_parts(settings: Settings, record: Record, home: Path, page_port: int) -> None:
    """Starts all parts and waits until they answer; raises `SparkError` if one does not."""
    folder = spark_dir(settings)
    master_port = free_port() if record.workers else 0
    master = f"spark://{HOST}:{master_port}" if record.workers else "local[*]"
    configuration = _write_configuration(folder, record, master, page_port)
    # An own SPARK_HOME or SPARK_REMOTE is meant for other programs.
    environment = {k: v for k, v in os.environ.items() if k != "SPARK_REMOTE"} | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": HOST,
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_WORKER_DIR": str(folder / "work"),
        TOKEN_VARIABLE: record.token,
    }
    programs, file = home / "bin", ["--properties-file", str(configuration)]
    parts: list[tuple[str, list[str], int]] = []
    if record.workers:
        launch = [str(programs / "spark-class"), MASTER_CLASS, "--host", HOST]
        ports = ["--port", str(master_port), "--webui-port", str(free_port())]
        parts.append((MASTER, [*launch, *ports, *file], master_port))
    cores = max(1, (os.cpu_count() or 1) // max(1, record.workers))
    for number in range(1, record.workers + 1):
        launch = [str(programs / "spark-class"), WORKER_CLASS, "--host", HOST]
        share = ["--cores", str(cores), "--memory", record.memory, "--webui-port", "0"]
        parts.append((f"worker {number}", [*launch, *share, *file, master], 0))
    launch = [str(programs / "spark-submit"), "--class", CONNECT_CLASS, "--name", "pollux"]
    parts.append((SERVER, [*launch, *file], record.port))
    for name, command, port in parts:
        _start_part(settings, record, name, command, environment)
        if port:
            _wait(settings, record, name, port)


def end_parts(settings: Settings, record: Record) -> bool:
    """Ends all parts and removes the record; returns whether any lived."""
    alive = alive_parts(record)
    # The server first: it would look for the others.
    for process in reversed(alive.values()):
        end(process)
    _path(settings).unlink(missing_ok=True)
    return bool(alive)


def alive_parts(record: Record) -> dict[str, psutil.Process]:
    """The processes that live, by name: `master`, `worker 1`, …, `server`."""
    found = {name: find(recorded) for name, recorded in record.processes.items()}
    return {name: process for name, process in found.items() if process is not None}


def read_record(settings: Settings) -> Record | None:
    """The record; None if there is none, or it cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        return Record(**json.loads(_path(settings).read_text()))
    return None


def keep_record(settings: Settings, record: Record) -> None:
    """Writes the record."""
    write_record(_path(settings), asdict(record))


def spark_dir(settings: Settings) -> Path:
    """The folder of the record, settings and scratch files."""
    return settings.data_dir / "spark"


def log_of(settings: Settings, name: str) -> Path:
    """The log of a part."""
    return settings.logs_dir / f"spark-{name.replace(' ', '-')}.log"


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _start_part(
    settings: Settings,
    record: Record,
    name: str,
    command: list[str],
    environment: Mapping[str, str],
) -> None:
    def note(process: psutil.Process) -> None:
        record.processes[name] = identity(process)
        keep_record(settings, record)

    log = log_of(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        start(command, note, log=sink, environment=environment, folder=spark_dir(settings))


def _write_configuration(folder: Path, record: Record, master: str, page_port: int) -> Path:
    for name in ("tmp", "work"):
        shutil.rmtree(folder / name, ignore_errors=True)
    memory = os.environ.get("SPARK_DRIVER_MEMORY", LOCAL_MEMORY)
    content = {
        "spark.master": master,
        "spark.driver.memory": memory,
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.connect.grpc.binding.address": HOST,
        "spark.connect.grpc.binding.port": record.port,
        "spark.ui.port": page_port,
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": folder / "tmp",
        "spark.sql.warehouse.dir": folder / "warehouse",
        "spark.sql.catalogImplementation": "in-memory",
    }
    if record.workers:
        content |= {
            "spark.executor.memory": record.memory,
            # Between the parts of the cluster.
            "spark.authenticate": "true",
            "spark.authenticate.secret": secrets.token_urlsafe(),
        }
    path = folder / "spark.properties"
    path.write_text("".join(f"{name}={value}\n" for name, value in content.items()))
    path.chmod(0o600)
    return path


def _wait(settings: Settings, record: Record, name: str, port: int) -> None:
    deadline = monotonic() + START_SECONDS
    while True:
        with suppress(OSError):
            socket.create_connection((HOST, port), timeout=ANSWER_SECONDS).close()
            return
        is_dead = find(record.processes[name]) is None
        if is_dead or monotonic() > deadline:
            log = log_of(settings, name)
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
            how = "ended" if is_dead else f"did not answer within {START_SECONDS} s"
            raise SparkError(f"Spark's {name} {how}; {log} ends with\n{tail}")
        sleep(POLL_SECONDS)


def _path(settings: Settings) -> Path:
    return spark_dir(settings) / "processes.json"
