"""Processes that outlive the one that started them: recorded, started, found again, ended.

Belongs here: what `pollux up` and Dagster's launcher share. Does not belong here: which processes
there are, and where their records are kept.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from pollux.runtime.steps import step

STOP_SECONDS = 10
POLL_SECONDS = 0.05
BOOT = Path("/proc/sys/kernel/random/boot_id")

# Waits for a line on standard input, then becomes the program; ends if none comes.
GATE = ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "pollux"]


def start(
    command: Sequence[str],
    record: Callable[[psutil.Process], None],
    *,
    log: IO[bytes],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own, after `record` has noted its process.

    If this process is killed in between, the program does not start: none runs unrecorded.
    """
    process = subprocess.Popen(
        [*GATE, *command],
        env=environment,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101
    try:
        step("processes.forked")
        record(psutil.Process(process.pid))
        step("processes.recorded")
        with suppress(BrokenPipeError):
            process.stdin.write(b"go\n")
            process.stdin.flush()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
    step("processes.started")
    return process


def identity(process: psutil.Process) -> list[int | str | float]:
    """Number and start time of a process, for a record: together they are unique.

    The start is counted from the machine's boot, so that setting the clock does not change it.
    Raises `psutil.Error` where the process is gone.
    """
    try:
        started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
        return [process.pid, f"{BOOT.read_text().strip()}:{started}"]
    except (FileNotFoundError, ProcessLookupError):
        if BOOT.exists():
            raise psutil.NoSuchProcess(process.pid) from None
        return [process.pid, process.create_time()]


def find(recorded: object) -> psutil.Process | None:
    """The process of an `identity`, None where it has ended or the record is not valid."""
    with suppress(psutil.Error, OSError, ValueError, TypeError, LookupError):
        number = recorded[0]  # type: ignore[index]
        process = psutil.Process(number)
        # A zombie has ended; only its parent has not waited for it yet.
        if identity(process) == recorded and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def end(process: psutil.Process, *, seconds: float = STOP_SECONDS) -> None:
    """Tells a process to end, waits, then kills it with all it has started."""
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    if not wait_for_end([process], seconds):
        kill(process)


def kill(process: psutil.Process) -> None:
    """Kills a process with all it has started, such as the dbt of a run."""
    family = [process]
    with suppress(psutil.NoSuchProcess):
        family += process.children(recursive=True)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    wait_for_end(family, STOP_SECONDS)


def wait_for_end(processes: Iterable[psutil.Process], seconds: float) -> bool:
    """Whether all of them end within so many seconds; they need not be children of this one."""
    deadline = time.monotonic() + seconds
    waiting = [process for process in processes if _runs(process)]
    while waiting and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        waiting = [process for process in waiting if _runs(process)]
    return not waiting


def write_record(path: Path, content: object) -> None:
    """Writes a record completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.new")
    unfinished.write_text(json.dumps(content))
    unfinished.replace(path)


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
