"""Apache Spark for an installation: a Connect server of its own, or one that the user runs.

Belongs here: when a server is started, kept and ended. Does not belong here: its processes
(`pollux.runtime.spark_processes`), how to speak to it (`pollux.runtime.spark_connect`), what is
built with it, and where tables are written (`orchestration`).

An own server listens on 127.0.0.1 and asks for a token, since whoever reaches it can run programs
as its user. It outlives the command that started it and is found again by its record.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import psutil
from filelock import FileLock, Timeout

from pollux.runtime.java import find_java
from pollux.runtime.settings import Settings
from pollux.runtime.spark_connect import SparkServer, check_answers
from pollux.runtime.spark_processes import (
    HOST,
    SERVER,
    START_SECONDS,
    Record,
    SparkError,
    alive_parts,
    end_parts,
    free_port,
    keep_record,
    log_of,
    read_record,
    spark_dir,
    start_parts,
)

# Clients send a token without encryption to this name only.
LOCAL = "localhost"
MODULES = ("pyspark", "grpc", "grpc_status", "zstandard", "dbt.adapters.spark")
WORKER_MEMORY = "1g"
# How long a server of the user may not answer until a build gives up.
LOST_SECONDS = 120


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
        record = read_record(settings)
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
        record = read_record(settings)
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
    if not spark_dir(settings).exists():
        return False
    with _locked(settings):
        record = read_record(settings)
        if record is None or (only_unasked and record.is_kept):
            return False
        return end_parts(settings, record)


def running_spark(settings: Settings) -> SparkServer | None:
    """The own server, if it runs with all its parts; starts nothing."""
    record = read_record(settings)
    return _server(settings, record) if record is not None and _is_whole(record) else None


def spark_parts(settings: Settings) -> dict[str, psutil.Process]:
    """The processes of the own server that live, by name: `master`, `worker 1`, …, `server`."""
    record = read_record(settings)
    return {} if record is None else alive_parts(record)


def watch_spark(settings: Settings, server: SparkServer) -> Callable[[], str | None]:
    """What tells, asked every few seconds, that a server is lost; None while it is not.

    Clients would ask it for ten minutes, again with each statement. An own server is lost when its
    process has ended, one of the user when it has not answered for `LOST_SECONDS`.
    """
    answered = monotonic()

    def lost() -> str | None:
        nonlocal answered
        if server.logs is not None:
            if SERVER in spark_parts(settings):
                return None
            return (
                f"Spark's server has ended during the build; {server.logs} says more. The next "
                "build starts it again."
            )
        try:
            check_answers(server.remote)
        except SparkError as error:
            return str(error) if monotonic() - answered > LOST_SECONDS else None
        answered = monotonic()
        return None

    return lost


def _start(settings: Settings, *, workers: int, memory: str, is_kept: bool) -> SparkServer:
    home = _spark_home()
    find_java()
    old = read_record(settings)
    if old is not None:
        end_parts(settings, old)
    page_port = free_port()
    record = Record(
        port=free_port(),
        page=f"http://{HOST}:{page_port}",
        token=secrets.token_urlsafe(),
        workers=workers,
        memory=memory,
        is_kept=is_kept,
    )
    try:
        start_parts(settings, record, home, page_port)
    except BaseException:
        end_parts(settings, record)
        raise
    record.is_ready = True
    keep_record(settings, record)
    return _server(settings, record)


def _is_whole(record: Record) -> bool:
    """Whether every part was started and lives, and the server answers."""
    if not record.is_ready or len(alive_parts(record)) < len(record.processes):
        return False
    with suppress(SparkError):
        check_answers(f"sc://{HOST}:{record.port}")
        return True
    return False


def _server(settings: Settings, record: Record) -> SparkServer:
    return SparkServer(
        remote=f"sc://{LOCAL}:{record.port}",
        token=record.token,
        page=record.page,
        logs=log_of(settings, SERVER),
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
        raise SparkError(f"Engine spark needs {', '.join(missing)}, which make spark installs.")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # A package above it is missing.
        return False


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    folder = spark_dir(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=START_SECONDS):
            yield
    except Timeout:
        raise SparkError(
            f"Another process has been starting or stopping Spark in {folder} for "
            f"{START_SECONDS} s."
        ) from None
