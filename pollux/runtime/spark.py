"""Apache Spark for an installation: a Connect server of its own, or one that the user runs.

Belongs here: finding, starting, keeping and ending the server, and a cluster on this machine. Does
not belong here: what is built with it, and where tables are written (`orchestration`).

An own server listens on 127.0.0.1 and asks for a token, since whoever reaches it can run programs
as its user. It outlives the command that started it and is found again by its record.
"""

import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
from filelock import FileLock, Timeout

from pollux.runtime.errors import PolluxError
from pollux.runtime.java import find_java
from pollux.runtime.processes import end, find, identity, start, write_record
from pollux.runtime.settings import Settings

HOST = "127.0.0.1"
DEFAULT_PORT = 15002
# Clients send a token without encryption to this name only.
LOCAL = "localhost"
TOKEN_VARIABLE = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # noqa: S105 - a name
MODULES = ("pyspark", "grpc", "grpc_status", "zstandard", "dbt.adapters.spark")
GET_EXTRA = "pip install 'pollux[spark]', or make spark in a clone of the project"

START_SECONDS = 300
ANSWER_SECONDS = 5
POLL_SECONDS = 0.1
SHOWN_LINES = 10
LOCAL_MEMORY = "2g"
WORKER_MEMORY = "1g"

SESSION = {
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}

MASTER, SERVER = "master", "server"
CONNECT_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
MASTER_CLASS = "org.apache.spark.deploy.master.Master"
WORKER_CLASS = "org.apache.spark.deploy.worker.Worker"

# Of HTTP/2, which gRPC speaks: what a client sends first, and the kind of frame that a server does.
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")
HTTP2_HEAD_BYTES, HTTP2_SETTINGS = 9, 4


class SparkError(PolluxError):
    """Spark is not installed, not reachable, or does not start."""

    exit_code = 4


@dataclass(frozen=True)
class SparkServer:
    """A Connect server to build with: its address, and for an own one its page and logs."""

    remote: str
    token: str = ""
    page: str | None = None
    logs: Path | None = None
    workers: int = 0

    def environment(self) -> dict[str, str]:
        """The variables that a client of the server needs."""
        token = {TOKEN_VARIABLE: self.token} if self.token else {}
        return {"POLLUX_SPARK_REMOTE": self.remote, **token}

    def describe(self) -> str:
        """The server in a few words."""
        if self.page is None:
            return "your Spark server"
        kind = f"a cluster with {self.workers} workers" if self.workers else "a local server"
        return f"{kind}, its page on {self.page}"


@dataclass
class _Record:
    """What is kept of an own server; `is_kept` if the user asked for it to stay."""

    port: int
    page: str
    token: str
    workers: int
    memory: str
    is_kept: bool
    is_ready: bool = False
    processes: dict[str, list[int | str | float]] = field(default_factory=dict)


def check_installed() -> str:
    """Says which Java and Spark there are; raises `SparkError` or `JavaError` if one is missing."""
    home = _spark_home()
    program, version = find_java()
    return f"Java {version} ({program}), Spark in {home}"


def use_spark(settings: Settings) -> SparkServer:
    """The server to build with: the one in `POLLUX_SPARK_REMOTE`, else the installation's own.

    Starts an own one, or starts it again as it was if a part of it has died. The caller holds the
    warehouse lock. Raises `SparkError` if there is none to build with.
    """
    if settings.spark_remote is not None:
        _require_modules()
        remote = settings.spark_remote.get_secret_value()
        check_answers(remote)
        return SparkServer(remote)
    with _locked(settings):
        record = _read(settings)
        if record is not None and _is_whole(record):
            _require_modules()
            return _server(settings, record)
        if record is None:
            return _start(settings, workers=0, memory=WORKER_MEMORY, is_kept=False)
        return _start(
            settings, workers=record.workers, memory=record.memory, is_kept=record.is_kept
        )


def start_spark(
    settings: Settings, *, workers: int = 0, memory: str = WORKER_MEMORY
) -> SparkServer:
    """Starts an own server that stays until `stop_spark`; with workers, a standalone cluster.

    `memory` is that of each worker, as in 1g. Raises `SparkError` if one runs already.
    """
    if settings.spark_remote is not None:
        raise SparkError("POLLUX_SPARK_REMOTE is set: Pollux does not start that server.")
    with _locked(settings):
        record = _read(settings)
        if record is not None and _is_whole(record):
            running = _server(settings, record).describe()
            raise SparkError(
                f"Spark runs already for {settings.data_dir}, {running}. pollux spark stop ends it."
            )
        return _start(settings, workers=workers, memory=memory, is_kept=True)


def stop_spark(settings: Settings, *, only_unasked: bool = False) -> bool:
    """Ends the installation's own server with all its parts; returns whether any ran.

    `only_unasked` leaves one that the user started by `pollux spark start`.
    """
    if not _folder(settings).exists():
        return False
    with _locked(settings):
        record = _read(settings)
        if record is None or (only_unasked and record.is_kept):
            return False
        return _end(settings, record)


def running_spark(settings: Settings) -> SparkServer | None:
    """The own server, if it runs with all its parts; starts nothing."""
    record = _read(settings)
    return _server(settings, record) if record is not None and _is_whole(record) else None


def spark_parts(settings: Settings) -> dict[str, psutil.Process]:
    """The processes of the own server that live, by name: `master`, `worker 1`, …, `server`."""
    record = _read(settings)
    return {} if record is None else _alive(record)


def check_answers(remote: str) -> None:
    """Raises `SparkError` if no Spark Connect server answers at an address `sc://host:port/;…`."""
    parts = urlsplit(remote)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    hint = (
        "Start it, or take POLLUX_SPARK_REMOTE away: Pollux then starts a server on this machine."
    )
    try:
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS) as connection:
            if "use_ssl=true" in parts.path.lower() or _speaks_http2(connection):
                return
    except OSError as error:
        raise SparkError(
            f"The Spark server {host}:{port} of POLLUX_SPARK_REMOTE cannot be reached "
            f"({error.strerror or error}). {hint}"
        ) from error
    raise SparkError(
        f"What answers at {host}:{port}, named in POLLUX_SPARK_REMOTE, is no Spark Connect server: "
        f"its port is {DEFAULT_PORT} as a rule. {hint}"
    )


@contextmanager
def spark_session(server: SparkServer) -> Iterator[Any]:
    """A session of a server: a `pyspark.sql.SparkSession`, with the settings of dbt's.

    Raises `SparkError` with the first line of what went wrong in it.
    """
    # They come with an extra.
    sql, errors = import_module("pyspark.sql"), import_module("pyspark.errors")
    separator = ";" if "/;" in server.remote else "/;"
    token = f"{separator}token={quote(server.token, safe='')}" if server.token else ""
    builder = sql.SparkSession.builder.remote(server.remote + token)
    for name, value in SESSION.items():
        builder = builder.config(name, value)
    try:
        session = builder.create()
        try:
            yield session
        finally:
            session.stop()
    except errors.PySparkException as error:
        raise SparkError(str(error).strip().partition("\n")[0]) from error


def _speaks_http2(connection: socket.socket) -> bool:
    connection.sendall(HTTP2_HELLO)
    head = b""
    while len(head) < HTTP2_HEAD_BYTES:
        try:
            more = connection.recv(HTTP2_HEAD_BYTES - len(head))
        except TimeoutError:
            return False
        if not more:
            return False
        head += more
    return head[3] == HTTP2_SETTINGS


def _start(settings: Settings, *, workers: int, memory: str, is_kept: bool) -> SparkServer:
    home = _spark_home()
    find_java()
    old = _read(settings)
    if old is not None:
        _end(settings, old)
    page_port = _free_port()
    record = _Record(
        port=_free_port(),
        page=f"http://{HOST}:{page_port}",
        token=secrets.token_urlsafe(),
        workers=workers,
        memory=memory,
        is_kept=is_kept,
    )
    try:
        _start_parts(settings, record, home, page_port)
    except BaseException:
        _end(settings, record)
        raise
    record.is_ready = True
    _write(settings, record)
    return _server(settings, record)


def _start_parts(settings: Settings, record: _Record, home: Path, page_port: int) -> None:
    folder = _folder(settings)
    master_port = _free_port() if record.workers else 0
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
        ports = ["--port", str(master_port), "--webui-port", str(_free_port())]
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


def _start_part(
    settings: Settings,
    record: _Record,
    name: str,
    command: list[str],
    environment: Mapping[str, str],
) -> None:
    def note(process: psutil.Process) -> None:
        record.processes[name] = identity(process)
        _write(settings, record)

    log = _log(settings, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        start(command, note, log=sink, environment=environment, folder=_folder(settings))


def _write_configuration(folder: Path, record: _Record, master: str, page_port: int) -> Path:
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


def _wait(settings: Settings, record: _Record, name: str, port: int) -> None:
    deadline = monotonic() + START_SECONDS
    while True:
        with suppress(OSError):
            socket.create_connection((HOST, port), timeout=ANSWER_SECONDS).close()
            return
        is_dead = find(record.processes[name]) is None
        if is_dead or monotonic() > deadline:
            log = _log(settings, name)
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
            how = "ended" if is_dead else f"did not answer within {START_SECONDS} s"
            raise SparkError(f"Spark's {name} {how}; {log} ends with\n{tail}")
        sleep(POLL_SECONDS)


def _end(settings: Settings, record: _Record) -> bool:
    alive = _alive(record)
    # The server first: it would look for the others.
    for process in reversed(alive.values()):
        end(process)
    _path(settings).unlink(missing_ok=True)
    return bool(alive)


def _alive(record: _Record) -> dict[str, psutil.Process]:
    found = {name: find(recorded) for name, recorded in record.processes.items()}
    return {name: process for name, process in found.items() if process is not None}


def _is_whole(record: _Record) -> bool:
    """Whether every part was started and lives, and the server answers."""
    if not record.is_ready or len(_alive(record)) < len(record.processes):
        return False
    with suppress(SparkError):
        check_answers(f"sc://{HOST}:{record.port}")
        return True
    return False


def _server(settings: Settings, record: _Record) -> SparkServer:
    return SparkServer(
        remote=f"sc://{LOCAL}:{record.port}",
        token=record.token,
        page=record.page,
        logs=_log(settings, SERVER),
        workers=record.workers,
    )


def _spark_home() -> Path:
    _require_modules()
    spec = find_spec("pyspark")
    assert spec is not None  # noqa: S101
    assert spec.origin is not None  # noqa: S101
    return Path(spec.origin).parent


def _require_modules() -> None:
    missing = [name for name in MODULES if not _is_installed(name)]
    if missing:
        raise SparkError(
            f"Engine spark needs {', '.join(missing)}, which the extra spark brings: {GET_EXTRA}."
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # A package above it is missing.
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    folder = _folder(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=START_SECONDS):
            yield
    except Timeout:
        raise SparkError(
            f"Another process has been starting or stopping Spark in {folder} for "
            f"{START_SECONDS} s."
        ) from None


def _read(settings: Settings) -> _Record | None:
    """The record; None if there is none, or it cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        return _Record(**json.loads(_path(settings).read_text()))
    return None


def _write(settings: Settings, record: _Record) -> None:
    write_record(_path(settings), asdict(record))


def _path(settings: Settings) -> Path:
    return _folder(settings) / "processes.json"


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "spark"


def _log(settings: Settings, name: str) -> Path:
    return settings.logs_dir / f"spark-{name.replace(' ', '-')}.log"
