"""Dagster's processes: code server, web page and daemon, kept running until told to stop.

Belongs here: starting them in order, starting again what ended, stopping all. Does not belong
here: what they are configured with, which is `orchestration.instance.home`.
"""

import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cli import output
from cli.processes import POLL_SECONDS, Running, UpError, end, stop
from orchestration.instance.workers import workers
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings

# The web page has no login of its own.
DAGSTER_HOST = "127.0.0.1"
READY_SECONDS = 120
HEAL_SECONDS = 5
# What ends again and again is not started more often than this.
RESTART_SECONDS = 5
PATIENCE_SECONDS = 3
SHOWN_LINES = 15

CODE_SERVER, DAEMON, WEB_PAGE = "dagster code server", "dagster daemon", "dagster web page"


class Supervisor:
    """Keeps Dagster's processes running for an installation."""

    def __init__(self, settings: Settings, running: Running) -> None:
        self._settings = settings
        self._running = running
        self._environment: dict[str, str] = {}
        self._commands: dict[str, list[str]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}

    @contextmanager
    def up(self) -> Iterator[None]:
        """All three, ready when this yields, stopped with it, runs under way included."""
        from orchestration.instance.home import dagster_environment, prepare_home

        # A socket's path is short, and its folder closed to other users.
        folder = Path(tempfile.mkdtemp(prefix="pollux"))
        try:
            store = open_serving_store(self._settings)
            prepare_home(self._settings, store, folder / "code.sock")
            self._environment = dagster_environment(self._settings, store)
            self._commands = _commands(self._settings, folder / "code.sock")
            # Whoever looks for the code while it is not there remembers that it was not.
            self._start(CODE_SERVER)
            self._wait(CODE_SERVER, (folder / "code.sock").exists)
            self._start(DAEMON)
            self._start(WEB_PAGE)
            self._wait(WEB_PAGE, self._answers)
            yield
        finally:
            self._stop()
            shutil.rmtree(folder, ignore_errors=True)

    def watch(self) -> None:
        """Starts again what ended, the embedded PostgreSQL included, until interrupted."""
        healed = time.monotonic()
        while True:
            time.sleep(POLL_SECONDS)
            now = time.monotonic()
            for name, process in list(self._processes.items()):
                if process.poll() is not None and now > self._started[name] + RESTART_SECONDS:
                    output.note(f"{name} ended with code {process.returncode}; starting it again.")
                    self._start(name)
            if now > healed + HEAL_SECONDS:
                healed = now
                self._heal()

    def _heal(self) -> None:
        try:
            open_serving_store(self._settings)
        except PolluxError as error:
            output.note(str(error).splitlines()[0])

    def _start(self, name: str) -> None:
        self._settings.logs_dir.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._commands[name],
                env=self._environment,
                cwd=PROJECT_DIR,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started[name] = time.monotonic()
        self._running.note({n: psutil.Process(p.pid) for n, p in self._processes.items()})

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready():
            if time.monotonic() > deadline or self._processes[name].poll() is not None:
                lines = self._log(name).read_text(errors="replace").splitlines()
                tail = "\n".join(lines[-SHOWN_LINES:])
                raise UpError(f"The {name} did not come up:\n{tail}")
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{url_of_dagster(self._settings)}/server_info", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _stop(self) -> None:
        # The daemon first: it starts runs.
        for name in (DAEMON, WEB_PAGE, CODE_SERVER):
            if name in self._processes:
                self._processes[name].terminate()
        if DAEMON in self._processes:
            stop(self._processes[DAEMON])
        for process in workers(self._settings):
            end(process)
        for process in self._processes.values():
            # Neither holds anything that would be lost.
            stop(process, seconds=PATIENCE_SECONDS)

    def _log(self, name: str) -> Path:
        return self._settings.logs_dir / f"{name.replace(' ', '-')}.log"


def url_of_dagster(settings: Settings) -> str:
    """Where Dagster's web page is."""
    return f"http://{DAGSTER_HOST}:{settings.dagster_port}"


def _commands(settings: Settings, socket: Path) -> dict[str, list[str]]:
    from orchestration.instance.home import LOCATION, MODULE, workspace_file

    def run(module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", module, *arguments]

    workspace = ["--workspace", str(workspace_file(settings))]
    code = ["--socket", str(socket), "--module-name", MODULE, "--location-name", LOCATION]
    address = ["--host", DAGSTER_HOST, "--port", str(settings.dagster_port)]
    return {
        CODE_SERVER: run("dagster", "api", "grpc", *code),
        DAEMON: run("dagster._daemon", "run", *workspace),
        WEB_PAGE: run("dagster_webserver", *address, *workspace),
    }
