"""The processes of an installation: `pollux up` and `pollux dagster`, and what they start.

Belongs here: starting, finding and ending them. Does not belong here: what they are started for.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from cli import output
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

READY_SECONDS = 30
POLL_SECONDS = 0.2
STOP_SECONDS = 10
SHOWN_LINES = 10


class UpError(PolluxError):
    """Something that `pollux up` started did not come up or did not stay."""


class Running:
    """One running command of an installation, `up` or `dagster`, and what it started."""

    def __init__(self, settings: Settings, command: str) -> None:
        self.command = f"pollux {command}"
        self._settings = settings
        self._record = settings.data_dir / f"{command}.json"
        self._lock = settings.data_dir / f"{command}.lock"

    @contextmanager
    def only_one(self) -> Iterator[None]:
        """Keeps a second one out for the data folder; raises `UpError` naming the first."""
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            process = self.started().get(self.command)
            which = f" (process {process.pid})" if process else ""
            what = "Pollux is up" if self.command == "pollux up" else "Dagster runs"
            raise UpError(
                f"{what} already for {self._settings.data_dir}{which}. pollux down stops it."
            ) from None
        try:
            self.note({})
            yield
        finally:
            self._record.unlink(missing_ok=True)
            lock.release()

    def note(self, children: dict[str, psutil.Process]) -> None:
        """Notes what it started, so that it is found after a SIGKILL."""
        processes = {self.command: psutil.Process()} | children
        # With its time of start, a process number names one process for good.
        content = {name: [one.pid, one.create_time()] for name, one in processes.items()}
        unfinished = self._record.with_suffix(".new")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(self._record)

    def started(self) -> dict[str, psutil.Process]:
        """What it started and still runs, itself first; also after it was killed."""
        try:
            content = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return {}
        found = {}
        for name, (number, create_time) in content.items():
            with suppress(psutil.Error):
                process = psutil.Process(number)
                if process.create_time() == create_time:
                    found[name] = process
        return found


def end(process: psutil.Process) -> None:
    """Tells a process to end and waits until it has; raises `UpError` where it does not."""
    deadline = time.monotonic() + 3 * STOP_SECONDS
    # What `pollux up` started ends with it, maybe before its own turn here.
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        # A process that its parent has not asked for yet is a zombie: it has ended.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                raise UpError(f"Process {process.pid} does not end; kill it by hand.")
            time.sleep(0.1)


class Children:
    """What a command started: noted for `pollux down`, watched, and stopped with it."""

    def __init__(self, settings: Settings, running: Running) -> None:
        self._settings = settings
        self._running = running
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stops = ExitStack()

    @contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        """Stops all of them with the block, the last one first."""
        # A second Ctrl-C may cut one stop short, not those that follow.
        with self._stops:
            yield

    def add(
        self, name: str, process: subprocess.Popen[bytes], *, patience: float = STOP_SECONDS
    ) -> None:
        """Takes a process in; `patience` is how many seconds it has to end."""
        self._processes[name] = process
        self._stops.callback(stop, process, patience)
        started = {name: psutil.Process(one.pid) for name, one in self._processes.items()}
        self._running.note(started)

    def run(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        patience: float = STOP_SECONDS,
    ) -> None:
        """Starts a `pollux` command with a log of its name."""
        log_file = log_of(self._settings, name)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *arguments],
                env=os.environ | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.add(name, process, patience=patience)

    def wait_until_answers(self, name: str, url: str) -> None:
        """Waits until a URL of a child answers; raises `UpError` with its log where it does not."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._processes[name].poll() is None:
            if ask(url)[0] == HTTPStatus.OK:
                return
            time.sleep(0.1)
        lines = log_of(self._settings, name).read_text(errors="replace").splitlines()
        tail = "\n".join(lines[-SHOWN_LINES:])
        raise UpError(f"{name} did not come up; its log ends with\n{tail}")

    def wait(self) -> None:
        """Waits for Ctrl-C; raises `UpError` where one ends by itself."""
        try:
            while True:
                for name, process in self._processes.items():
                    if process.poll() is not None:
                        raise UpError(
                            f"{name} ended by itself with code {process.returncode}; see "
                            f"{log_of(self._settings, name)}."
                        )
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            output.progress_console.print("Stopping.")


def log_of(settings: Settings, name: str) -> Path:
    """The log of something that runs in the background."""
    return settings.logs_dir / f"{name.lower().replace(' ', '-')}.log"


def ask(url: str) -> tuple[int, bytes]:
    """Status and body of a GET; status 0 where nobody answers."""
    # Whatever proxy is set is for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def stop(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """Ends a process of ours, at last by SIGKILL."""
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
