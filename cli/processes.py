"""The processes of an installation: `pollux up` and `pollux dagster`, and what they start.

Belongs here: starting, finding and ending them. Does not belong here: what they are started for.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
from filelock import FileLock, Timeout

from cli import output
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

READY_SECONDS = 30
POLL_SECONDS = 0.2
STOP_SECONDS = 10
DAGSTER_STOP_SECONDS = 45


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


@contextmanager
def serve_api(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the API in a process of its own, ready when this yields, ended with it."""
    with _command(settings, "api", "serve", "api") as process:
        with output.step("api") as step:
            _wait_until_ready(settings, process)
            step.result = f"ready on {url_of(settings)}"
        yield process


@contextmanager
def run_dagster(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `pollux dagster` in a process of its own; it gets ready while others work already."""
    with _command(settings, "dagster", "dagster", seconds=DAGSTER_STOP_SECONDS) as process:
        yield process


@contextmanager
def _command(
    settings: Settings, log_name: str, *arguments: str, seconds: float = STOP_SECONDS
) -> Iterator[subprocess.Popen[bytes]]:
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    with (settings.logs_dir / f"{log_name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process, seconds)


def stop(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """Ends a process of ours, at last by SIGKILL."""
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    # Whatever proxy is set is for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with opener.open(f"{url_of(settings)}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise UpError(f"The API did not come up:\n{_log_tail(settings)}")


def wait(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Waits for Ctrl-C; raises `UpError` where a process ends by itself."""
    try:
        while True:
            for name, process in processes.items():
                if process.poll() is not None:
                    raise UpError(
                        f"{name} ended by itself with code {process.returncode}; see the log of "
                        "its name in the logs folder."
                    )
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        output.progress_console.print("Stopping.")


def _log_tail(settings: Settings) -> str:
    lines = (settings.logs_dir / "api.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-10:])


def url_of(settings: Settings) -> str:
    """Where the API is reached."""
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return f"http://{host}:{settings.api_port}"
