"""Dagster's home in an installation: configuration, storage, environment of its processes.

Belongs here: everything that a Dagster process needs before it starts. Does not belong here:
starting one (`cli.dagster`).
"""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import yaml
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestration.transform.manifest import prepare_manifest
from pollux.masking import told
from pollux.runtime.errors import PolluxError
from pollux.runtime.postgres import OWNER
from pollux.runtime.privacy import write_private
from pollux.runtime.serving import DATABASE, ServingStore
from pollux.runtime.settings import PROJECT_DIR, Settings

STORAGE_VARIABLE = "POLLUX_DAGSTER_STORAGE"
MODULE = "orchestration.defs.definitions"
LOCATION = "pollux"

# A worker that was killed is noticed within this time.
MONITOR_SECONDS = 10
SESSIONS = {
    # A run writes a thousand events; a crash of the server may lose the last of them, but it ends
    # the run anyway.
    "synchronous_commit": "off",
    # A run that is frozen between two statements holds the rows of its assets, and no other run
    # could start. It is below the 15 s that the web page waits for a statement.
    "idle_in_transaction_session_timeout": "5s",
}
# How long ticks of schedules and sensors are kept: skipped ones, and all others.
SKIPPED_DAYS, TICK_DAYS = 1, 30


def configuration(settings: Settings) -> dict[str, Any]:
    """The content of dagster.yaml."""
    home = settings.dagster_home
    ticks = {
        "purge_after_days": {
            "skipped": SKIPPED_DAYS,
            "started": TICK_DAYS,
            "success": TICK_DAYS,
            "failure": TICK_DAYS,
        }
    }
    return {
        "telemetry": {"enabled": False},
        # No dialog that asks for an email address.
        "nux": {"enabled": False},
        # From the environment, so that no file holds the password.
        "storage": {
            "custom": {
                "module": "orchestration.instance.storage",
                "class": "KeptConnections",
                "config": {"postgres_url": {"env": STORAGE_VARIABLE}},
            }
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"dequeue_interval_seconds": 1},
        },
        "run_launcher": {
            "module": "orchestration.instance.launcher",
            "class": "ProcessRunLauncher",
        },
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": MONITOR_SECONDS,
            # Where the launcher ended, too, or the database was away: else it says so itself. A
            # worker that comes later finds its run failed, and does nothing.
            "start_timeout_seconds": 120,
            # A run that hangs would hold the pool's only slot for ever.
            "max_runtime_seconds": 60 * settings.run_max_minutes,
            "cancel_timeout_seconds": 120,
            "max_resume_run_attempts": 0,
            # Slots that a killed worker held.
            "free_slots_after_run_end_seconds": 5,
        },
        # For runs that were interrupted or lost the database; a run whose tests failed is tagged
        # not to be retried.
        "run_retries": {"enabled": True, "max_retries": 2},
        "concurrency": {
            "pools": {"default_limit": 1, "granularity": "op"},
            # One works, the other waits with everything imported.
            "runs": {"max_concurrent_runs": 2},
        },
        # A sensor deletes runs and their events (`defs.retention`).
        "retention": {"schedule": ticks, "sensor": ticks, "auto_materialize": ticks},
        "freshness": {"enabled": True},
        "schedules": {"use_threads": True, "num_workers": 2},
        "sensors": {"use_threads": True, "num_workers": 2},
        "local_artifact_storage": {
            "module": "dagster.core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": str(home)},
        },
        "compute_logs": {
            "module": "dagster.core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(home / "compute_logs")},
        },
    }


class StorageError(PolluxError):
    """Dagster's database cannot be made."""

    exit_code = 3


def prepare_home(settings: Settings, database: ServingStore) -> None:
    """Writes Dagster's configuration and the manifest, and makes its database.

    Raises `StorageError` or `ManifestError`.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(configuration(settings)))
    make_database(database)
    prepare_manifest(settings)


def write_workspace(settings: Settings, socket: Path) -> None:
    """Writes the address where the code server will listen."""
    server = {"grpc_server": {"socket": str(socket), "location_name": LOCATION}}
    # At once: the web page reads it again and again.
    write_private(workspace_file(settings), yaml.safe_dump({"load_from": [server]}).encode())


def is_code_there(workspace: Path) -> bool:
    """Whether the code servers of a workspace answer; those of an earlier command do not."""
    with suppress(OSError):
        for origin in yaml.safe_load(workspace.read_text())["load_from"]:
            if server := origin.get("grpc_server"):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(server["socket"])
        return True
    return False


def workspace_file(settings: Settings) -> Path:
    """The file that tells the web page and the daemon where the code server listens."""
    return settings.dagster_home / "workspace.yaml"


def dagster_environment(settings: Settings, database: ServingStore) -> dict[str, str]:
    """The environment variables of a Dagster process, including those of this process."""
    return os.environ | {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "DAGSTER_HOME": str(settings.dagster_home),
        STORAGE_VARIABLE: storage_url(database),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        # The process imports this code, whatever folder it starts in.
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(PROJECT_DIR), os.environ.get("PYTHONPATH")])
        ),
    }


def storage_database(database: ServingStore) -> str:
    """The name of Dagster's database on the server of the serving database."""
    serving = str(conninfo_to_dict(database.owner_url).get("dbname") or DATABASE)
    return f"{serving}_dagster"


def storage_url(database: ServingStore) -> str:
    """The URL of Dagster's database, with its driver: SQLAlchemy may default to another."""
    given = {k: str(v) for k, v in conninfo_to_dict(database.owner_url).items() if v is not None}
    user = quote(given.pop("user", OWNER), safe="")
    password = given.pop("password", None)
    login = user if password is None else f"{user}:{quote(password, safe='')}"
    given.pop("dbname", None)
    # Host and port as parameters: a socket's folder is not a host name.
    query = urlencode(given, quote_via=quote, safe="/")
    return f"postgresql+psycopg2://{login}@/{quote(storage_database(database), safe='')}?{query}"


def has_silent_daemons(database: ServingStore, seconds: float) -> bool:
    """Whether a thread of the daemon that started last has said nothing for so long.

    False where the database cannot be asked. Dagster itself only warns of such a thread: runs
    would be started no more, or ended no more.
    """
    url = make_conninfo(database.owner_url, dbname=storage_database(database), connect_timeout=5)
    with suppress(psycopg.Error), psycopg.connect(url) as connection:
        found = connection.execute(
            """
            select 1 from daemon_heartbeats
            where daemon_id = (
                select daemon_id from daemon_heartbeats order by timestamp desc limit 1
            ) and timestamp < localtimestamp - make_interval(secs => %s)
            """,
            [seconds],
        )
        return found.fetchone() is not None
    return False


def make_database(database: ServingStore) -> None:
    """Makes Dagster's database if it is missing; raises `StorageError` if it cannot."""
    name = storage_database(database)
    try:
        psycopg.connect(make_conninfo(database.owner_url, dbname=name), connect_timeout=10).close()
    except psycopg.OperationalError:
        with database.connect(autocommit=True) as connection:
            try:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            except psycopg.errors.DuplicateDatabase:
                pass
            except psycopg.Error as error:
                raise StorageError(
                    f"Dagster's database {name} cannot be made: {told(error)}. Make it with "
                    f"create database {name}, owned by the user of POLLUX_DATABASE_URL."
                ) from error
    # A database that somebody else made and owns keeps the server's settings.
    with (
        suppress(psycopg.errors.InsufficientPrivilege),
        database.connect(autocommit=True) as connection,
    ):
        for setting, value in SESSIONS.items():
            connection.execute(
                sql.SQL("alter database {} set {} = {}").format(
                    sql.Identifier(name), sql.Identifier(setting), value
                )
            )
