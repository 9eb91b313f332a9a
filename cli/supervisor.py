"""Keeps services running: starts each, restarts it when it ends, and gives up if it keeps ending.

Belongs here: the table of services and their processes, back-off, giving up, stopping. Does not
belong here: which services there are (`cli.serving`, `cli.dagster`).

A service that ends by itself is restarted after 1, 2, 4, … seconds. One that ends five times within
a minute is given up, and the others go on. One that hangs is killed, so that it is restarted.
"""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import psutil
import psycopg

from cli import output
from cli.processes import Running, UpError, end_of_log
from pollux.runtime.errors import PolluxError
from pollux.runtime.processes import STOP_SECONDS, kill, start
from pollux.runtime.serving import find_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings

POLL_SECONDS = 0.2
READY_SECONDS = 60
HEAL_SECONDS = 2
DEATHS, DEATHS_SECONDS = 5, 60
# The wait before the first restart; each further one waits twice as long.
BACK_OFF_SECONDS = 1.0
SHOWN_LINES = 10
# How long a service may do nothing; also how often it is asked, for the first time after its start.
HANG_SECONDS = 180
# How often logs are checked, and the size at which one is moved to `<log>.1`.
ROTATE_SECONDS = 30
LOG_BYTES = 10 * 2**20
DAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True)
class Service:
    """A program to keep running.

    `prepare` is called before every start; an error it raises counts as an end. `needs` names
    services that must be ready first. `clear_up` is called once the program has been stopped.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    is_ready: Callable[[], bool] = lambda: True
    hangs: Callable[[], bool] = lambda: False
    needs: Sequence[str] = ()
    prepare: Callable[[], None] = lambda: None
    clear_up: Callable[[], None] = lambda: None
    stop_seconds: float = STOP_SECONDS


@dataclass
class _Entry:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    is_ready: bool = False
    is_given_up: bool = False
    start_at: float = 0
    ask_at: float = 0
    deaths: list[float] = field(default_factory=list)


class Supervisor:
    """The services of a command, `up` or `dagster`."""

    def __init__(self, settings: Settings, running: Running, command: str) -> None:
        self._settings = settings
        self._running = running
        self._command = command
        self._entries: dict[str, _Entry] = {}
        self._rotated = time.monotonic()

    @property
    def given_up(self) -> list[str]:
        """Names of the services that were given up."""
        return [name for name, entry in self._entries.items() if entry.is_given_up]

    @contextmanager
    def stopped_at_the_end(self) -> Iterator[None]:
        """Stops all services when the block ends, the last one first; Ctrl-C ends it as meant.

        Then raises `UpError` if one was given up, so that the exit code says so.
        """
        try:
            yield
        except KeyboardInterrupt:
            output.progress_console.print("Stopping.")
        finally:
            for entry in reversed(self._entries.values()):
                self._stop(entry)
        if self.given_up:
            raise UpError(f"Given up: {', '.join(self.given_up)}. See {self._settings.logs_dir}.")

    def add(self, *services: Service) -> None:
        """Adds services and starts those that need no other."""
        self._entries |= {service.name: _Entry(service) for service in services}
        self.look()

    def wait(self, name: str, *, seconds: float = READY_SECONDS) -> str | None:
        """Waits until a service is ready; returns why it is not after `seconds`."""
        entry = self._entries[name]
        deadline = time.monotonic() + seconds
        while not entry.is_ready:
            if entry.is_given_up:
                return "given up"
            if time.monotonic() > deadline:
                return f"not ready after {seconds:.0f} s; see {entry.service.log}"
            time.sleep(POLL_SECONDS / 2)
            self.look()
        return None

    def watch(self) -> None:
        """Keeps all services running until Ctrl-C; raises `UpError` when all were given up."""
        while len(self.given_up) < len(self._entries):
            time.sleep(POLL_SECONDS)
            self.look()

    def look(self) -> None:
        """Checks every service once, and does what is due."""
        now = time.monotonic()
        if now > self._rotated + ROTATE_SECONDS:
            self._rotated = now
            rotate_logs(self._settings.logs_dir, days=self._settings.logs_retention_days)
        for entry in self._entries.values():
            if entry.process is not None and entry.process.poll() is not None:
                code, entry.process = entry.process.returncode, None
                self._note()
                self._has_ended(entry, f"ended with code {code}")
            if entry.process is None and self._is_due(entry, now):
                self._start(entry)
            if entry.process is not None and not entry.is_ready:
                entry.is_ready = entry.service.is_ready()
            if entry.process is not None and now > entry.ask_at:
                self._end_if_it_hangs(entry, entry.process)

    def _is_due(self, entry: _Entry, now: float) -> bool:
        needed = (self._entries[name] for name in entry.service.needs)
        return (
            not entry.is_given_up
            and now >= entry.start_at
            and all(other.is_ready for other in needed)
        )

    def _start(self, entry: _Entry) -> None:
        service = entry.service
        try:
            service.prepare()
            service.log.parent.mkdir(parents=True, exist_ok=True)
            with service.log.open("ab") as log:
                entry.process = start(
                    service.command,
                    lambda process: self._note({service.name: process}),
                    log=log,
                    environment=service.environment,
                    folder=PROJECT_DIR,
                )
            entry.ask_at = time.monotonic() + HANG_SECONDS
        except (PolluxError, psycopg.Error, OSError) as error:
            self._has_ended(entry, f"cannot be started ({first_line(error)})")

    def _end_if_it_hangs(self, entry: _Entry, process: subprocess.Popen[bytes]) -> None:
        entry.ask_at = time.monotonic() + HANG_SECONDS
        if entry.service.hangs():
            output.note(f"{entry.service.name} has done nothing for {HANG_SECONDS} s; it is ended.")
            kill(psutil.Process(process.pid))

    def _has_ended(self, entry: _Entry, how: str) -> None:
        now = time.monotonic()
        service = entry.service
        entry.is_ready = False
        entry.deaths = [at for at in entry.deaths if at > now - DEATHS_SECONDS] + [now]
        if len(entry.deaths) >= DEATHS:
            entry.is_given_up = True
            tail = end_of_log(service.log, SHOWN_LINES)
            output.fail(
                f"{service.name} {how}, the {DEATHS}th time within a minute, and is given up. "
                f"{service.log} ends with\n{tail}"
            )
            return
        delay = BACK_OFF_SECONDS * 2 ** (len(entry.deaths) - 1)
        entry.start_at = now + delay
        output.note(f"{service.name} {how}; it is started again in {delay:g} s.")

    def _stop(self, entry: _Entry) -> None:
        process = entry.process
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=entry.service.stop_seconds)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                # A second Ctrl-C cuts this stop short, but not the later ones.
                kill(psutil.Process(process.pid))
                process.wait()
            entry.process = None
        entry.service.clear_up()

    def _note(self, more: Mapping[str, psutil.Process] | None = None) -> None:
        runs = {
            name: psutil.Process(entry.process.pid)
            for name, entry in self._entries.items()
            if entry.process is not None
        }
        self._running.note(self._command, {**runs, **(more or {})})


@contextmanager
def database_kept_running(settings: Settings) -> Iterator[None]:
    """Restarts the embedded PostgreSQL if it is killed while the block runs.

    It does so in a thread, since a build or a service may need the database at any moment.
    """
    embedded = find_serving_store(settings).embedded
    is_over = Event()

    def watch() -> None:
        said: set[str] = set()

        def say(text: str) -> None:
            # Each text once, however often a start is tried.
            if text not in said:
                output.note(text)
            said.add(text)

        while embedded is not None and not is_over.wait(HEAL_SECONDS):
            if embedded.is_running():
                said.clear()
                continue
            say("PostgreSQL is gone; it is started again.")
            try:
                embedded.use()
            except (PolluxError, OSError) as error:
                say(f"{first_line(error)}; it is tried again.")

    keeper = Thread(target=watch, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


def first_line(error: Exception) -> str:
    """The first line of an error, without a program's or server's longer output."""
    return str(error).strip().partition("\n")[0].rstrip(":.")


def rotate_logs(folder: Path, *, days: float, limit: int = LOG_BYTES) -> None:
    """Moves the content of each log that is larger than `limit` bytes to `<log>.1`.

    Also after half of `days`: so no line is older than `days`, wherever it stands. It copies and
    truncates, since processes have the log open and go on appending to it.
    """
    for log in folder.glob("*.log"):
        earlier = log.with_name(f"{log.name}.1")
        if not earlier.exists():
            # Its time says since when the log has been written.
            earlier.touch()
        age = time.time() - earlier.stat().st_mtime
        if log.stat().st_size > limit or age > days * DAY_SECONDS / 2:
            earlier.write_bytes(log.read_bytes()[-limit:])
            with log.open("r+b") as emptied:
                emptied.truncate(0)
