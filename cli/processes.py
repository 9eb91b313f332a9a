"""The processes of an installation: one record per data folder, whichever command wrote it.

Belongs here: finding and ending processes, whether a service answers. Does not belong here: keeping
services running (`cli.supervisor`), and which there are (`cli.serving`, `cli.dagster`).
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from cli import output
from orchestration.instance.workers import workers
from pollux.runtime.errors import PolluxError
from pollux.runtime.processes import end, find, identity, write_record
from pollux.runtime.settings import Settings

UP, DAGSTER = "pollux up", "pollux dagster"
# A run in progress is told to end, and its current step may take a while.
COMMAND_STOP_SECONDS = 60
LOCK_SECONDS = 1


class UpError(PolluxError):
    """An installation's services did not start, or did not stay up."""


class Running:
    """The record of an installation's processes: a command, and the services it keeps running."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._record = settings.data_dir / "up.json"
        self._lock = settings.data_dir / "up.lock"

    @contextmanager
    def only_one(self, command: str) -> Iterator[None]:
        """Allows one command per data folder; raises `UpError` naming the one that runs already.

        Processes that a killed command left running are ended first.
        """
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        # What a killed command had just begun holds its lock until it is a program of its own.
        lock = FileLock(self._lock, timeout=LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise UpError(self._describe_first()) from None
        try:
            if stopped := self.end_all():
                output.note(f"An earlier Pollux left running, now stopped: {', '.join(stopped)}.")
            self.note(command, {})
            yield
        finally:
            self._forget_ended()
            lock.release()

    def note(self, command: str, children: dict[str, psutil.Process]) -> None:
        """Records the command's own process and those of its services."""
        content = {}
        for name, process in ({command: psutil.Process()} | children).items():
            with suppress(psutil.Error):
                content[name] = identity(process)
        write_record(self._record, content)

    def started(self) -> dict[str, psutil.Process]:
        """Processes that still run, by name, the command first, even if it was killed."""
        content: dict[str, object] = {}
        with suppress(OSError, ValueError):
            content = json.loads(self._record.read_text())
        found = {name: find(recorded) for name, recorded in content.items()}
        return {name: process for name, process in found.items() if process is not None}

    def end_all(self) -> list[str]:
        """Ends all processes, and the runs of Dagster; returns their names."""
        started = self.started()
        commands = {name: started.pop(name) for name in (UP, DAGSTER) if name in started}
        # The command first: it ends its services itself, and would restart those that end.
        for process in commands.values():
            end(process, seconds=COMMAND_STOP_SECONDS)
        for process in reversed(started.values()):
            end(process)
        runs = workers(self._settings)
        for process in runs:
            end(process)
        self._forget_ended()
        return [*commands, *started, *(["a run"] if runs else [])]

    def _forget_ended(self) -> None:
        left = {process.pid for process in self.started().values()}
        if not left - {psutil.Process().pid}:
            self._record.unlink(missing_ok=True)

    def _describe_first(self) -> str:
        started = self.started()
        command = DAGSTER if DAGSTER in started else UP
        what = "Dagster runs" if command == DAGSTER else "Pollux is up"
        which = f" (process {started[command].pid})" if command in started else ""
        return f"{what} already for {self._settings.data_dir}{which}. pollux down stops it."


def log_of(settings: Settings, name: str) -> Path:
    """The log file of a background process."""
    return settings.logs_dir / f"{name.lower().replace(' ', '-')}.log"


def end_of_log(log: Path, lines: int) -> str:
    """The last lines of a log."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""


def ask(url: str, *, seconds: float = 2) -> tuple[int, bytes]:
    """Status and body of a GET; status 0 if nothing answers in time."""
    # No proxy: proxies are for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    # A service that is killed may end in the middle of its answer.
    with suppress(OSError, HTTPException):
        try:
            with opener.open(url, timeout=seconds) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
    return 0, b""
