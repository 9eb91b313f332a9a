"""The lock on the warehouse: one process at a time builds in it or reads it.

Belongs here: taking the lock, waiting for it, saying who has it. Does not belong here: opening the
warehouse, which the holder of the lock does.

DuckDB lets only one process open its file. The process that needs it holds this lock; a child
process that works for it inherits the lock, which lasts until both have ended.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

POLL_SECONDS = 0.2


class WarehouseBusyError(PolluxError):
    """Another process holds the warehouse; the message names it."""


@contextmanager
def lock_warehouse(settings: Settings, purpose: str) -> Iterator[int]:
    """Holds the lock on the warehouse; yields the file descriptor that a child must inherit.

    Waits up to `settings.lock_timeout_seconds`, then raises `WarehouseBusyError`.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "warehouse.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait_for(descriptor, path, settings.lock_timeout_seconds)
        holder = {
            "pid": os.getpid(),
            "purpose": purpose,
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield descriptor
    finally:
        # Closing, not unlocking: a child that still works keeps the lock.
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise WarehouseBusyError(
                    f"The warehouse is in use: {_describe_holder(path)}. Waited "
                    f"{timeout_seconds:g} s; try again when it is done."
                ) from None
            time.sleep(min(POLL_SECONDS, timeout_seconds))
        else:
            return


def _describe_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return (
            f"{holder['purpose']} (process {holder['pid']}, {holder['command']}) since "
            f"{holder['since']}"
        )
    except (OSError, ValueError, KeyError):
        return "by an unknown process"
