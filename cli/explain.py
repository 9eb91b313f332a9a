"""Explains errors of the machine or the installation in one line.

Belongs here: limits, folders that cannot be written, packages that are not installed. Does not
belong here: errors of Pollux itself, which explain themselves (`PolluxError`).
"""

import errno
import resource
import traceback
from pathlib import Path

from pollux.masking import told
from pollux.runtime.errors import PolluxError

# The memory that the smallest command needs, its PostgreSQL included.
ENOUGH_MEMORY_MIB = 1536
ENOUGH_FILES = 256
WANTED_FILES = 4096

# Modules by the dependency group that brings them; some come with both.
GROUPS = {
    "pipeline": "dagster dagster_dbt dagster_postgres dagster_webserver dbt jinja2 lightgbm "
    "matplotlib numpy scipy sqlalchemy yaml",
    "services": "amqtt asyncpg fastapi httpx lightgbm limits numpy orjson paho prometheus_client "
    "starlette uvicorn uvloop",
    "dashboard": "altair pandas streamlit",
}
NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM}
OUT_OF_MEMORY = ("failed to map segment", "cannot allocate memory", "can't start new thread")


class LimitError(PolluxError):
    """The shell or the service manager allows less than Pollux needs."""


def check_limits() -> None:
    """Raises the limit of open files as far as allowed; `LimitError` if a limit is too low."""
    files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < WANTED_FILES:
        is_endless = most_files == resource.RLIM_INFINITY
        files = WANTED_FILES if is_endless else min(WANTED_FILES, most_files)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most_files))
    if files != resource.RLIM_INFINITY and files < ENOUGH_FILES:
        raise LimitError(
            f"Only {files} files may be open at once (ulimit -n); Pollux needs {ENOUGH_FILES}."
        )
    memory, _ = resource.getrlimit(resource.RLIMIT_AS)
    if memory != resource.RLIM_INFINITY and memory < ENOUGH_MEMORY_MIB * 2**20:
        raise LimitError(
            f"Only {memory // 2**20:,} MiB of memory may be used (ulimit -v); Pollux needs "
            f"{ENOUGH_MEMORY_MIB:,} MiB at least."
        )


def explain(error: BaseException) -> str | None:
    """The line for an error, None for an error of the program itself."""
    text = str(error).strip()
    if isinstance(error, MemoryError) or any(said in text.lower() for said in OUT_OF_MEMORY):
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        limited = limit != resource.RLIM_INFINITY
        why = f": {limit // 2**20:,} MiB are allowed (ulimit -v)" if limited else ""
        return f"There is not enough memory{why}."
    if isinstance(error, ModuleNotFoundError):
        return _missing(error)
    if isinstance(error, OSError):
        return _system(error)
    if type(error).__module__.partition(".")[0] in {"psycopg", "sqlalchemy", "duckdb", "_duckdb"}:
        return f"{type(error).__name__}: {told(error).partition(chr(10))[0]}"
    return None


def _system(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno == errno.EMFILE:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"{reason}: {files} may be open at once (ulimit -n)."
    if error.filename is None:
        return f"{type(error).__name__}: {reason}."
    name = error.filename.decode() if isinstance(error.filename, bytes) else str(error.filename)
    if error.errno in NOT_WRITABLE:
        return f"{name} cannot be opened or written: {reason}. Is it yours, and not read-only?"
    return f"{name}: {reason}."


def _missing(error: ModuleNotFoundError) -> str | None:
    module = (error.name or "").partition(".")[0]
    groups = [group for group, modules in GROUPS.items() if module in modules.split()]
    if not groups:
        return None
    frames = traceback.extract_tb(error.__traceback__)
    is_services = any("services" in Path(frame.filename).parts for frame in frames)
    group = "services" if is_services and "services" in groups else groups[0]
    return (
        f"This command needs {module}, which is not installed: make setup installs it (dependency "
        f"group {group})."
    )
