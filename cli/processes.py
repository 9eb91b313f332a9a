"""The processes of an installation: `pollux up` itself, and the API that it starts.

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
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from cli import output
from pollux.runtime.errors import PolluxError
from pollux.runtime.settings import Settings

READY_SECONDS = 30
STOP_SECONDS = 10


class UpError(PolluxError):
    """Something that `pollux up` started did not come up or did not stay."""


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Keeps a second `pollux up` of the data folder out; raises `UpError` naming the first."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.data_dir / "up.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        process = started(settings).get("pollux up")
        which = f" (process {process.pid})" if process else ""
        raise UpError(
            f"Pollux is up already for {settings.data_dir}{which}. pollux down stops it."
        ) from None
    try:
        _note(settings, {"pollux up": psutil.Process()})
        yield
    finally:
        _record(settings).unlink(missing_ok=True)
        lock.release()


def _record(settings: Settings) -> Path:
    return settings.data_dir / "up.json"


def _note(settings: Settings, processes: dict[str, psutil.Process]) -> None:
    # With its time of start, a process number names one process for good.
    content = {name: [one.pid, one.create_time()] for name, one in processes.items()}
    _record(settings).write_text(json.dumps(content))


def started(settings: Settings) -> dict[str, psutil.Process]:
    """What `pollux up` started and still runs, itself first; also after it was killed."""
    try:
        content = json.loads(_record(settings).read_text())
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
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    with (settings.logs_dir / "api.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "serve", "api"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _note(settings, {"pollux up": psutil.Process(), "API": psutil.Process(process.pid)})
    try:
        with output.step("api") as step:
            _wait_until_ready(settings, process)
            step.result = f"ready on {url_of(settings)}"
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


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


def wait(process: subprocess.Popen[bytes]) -> None:
    """Waits for Ctrl-C; raises `UpError` where the process ends by itself."""
    try:
        code = process.wait()
    except KeyboardInterrupt:
        output.progress_console.print("Stopping.")
        return
    raise UpError(f"The API ended by itself with code {code}; see api.log in the logs folder.")


def _log_tail(settings: Settings) -> str:
    lines = (settings.logs_dir / "api.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-10:])


def url_of(settings: Settings) -> str:
    """Where the API is reached."""
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return f"http://{host}:{settings.api_port}"
