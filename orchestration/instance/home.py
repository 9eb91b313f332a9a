"""Dagster's home in an installation: configuration, storage, environment of its processes.

Belongs here: everything that a Dagster process finds there before it starts. Does not belong
here: starting one, which is `cli`.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
import yaml
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestration.transform.manifest import prepare_manifest
from pollux.runtime.errors import PolluxError
from pollux.runtime.postgres import OWNER
from pollux.runtime.serving import DATABASE, ServingStore
from pollux.runtime.settings import PROJECT_DIR, Settings

STORAGE_VARIABLE = "POLLUX_DAGSTER_STORAGE"
MODULE = "orchestration.defs.definitions"
LOCATION = "pollux"

# A worker that was killed is noticed within this time.
MONITOR_SECONDS = 10
# Ticks of schedule and sensors, most of which found nothing to do.
SKIPPED_DAYS, TICK_DAYS = 1, 30


def configuration(settings: Settings) -> dict[str, Any]:
    """What dagster.yaml says."""
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
        # No dialog that asks for an address.
        "nux": {"enabled": False},
        # From the environment, so that no password lies in a file.
        "storage": {"postgres": {"postgres_url": {"env": STORAGE_VARIABLE}}},
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
            "start_timeout_seconds": 300,
            # One that hangs would hold the only place in the pool for ever.
            "max_runtime_seconds": 60 * settings.run_max_minutes,
            "cancel_timeout_seconds": 120,
            "max_resume_run_attempts": 0,
            # What a killed worker held.
            "free_slots_after_run_end_seconds": 5,
        },
        # Of runs that were cut off, or lost the database; a run whose tests failed says that it is
        # not.
        "run_retries": {"enabled": True, "max_retries": 2},
        "concurrency": {
            "pools": {"default_limit": 1, "granularity": "op"},
            # One works, one waits with everything imported.
            "runs": {"max_concurrent_runs": 2},
        },
        # Runs and their events are forgotten by the sensor of that name.
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
    """Writes what Dagster reads, configuration and manifest, and makes its database.

    Raises `StorageError` or `ManifestError`.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(yaml.safe_dump(configuration(settings)))
    make_database(database)
    prepare_manifest(settings)


def write_workspace(settings: Settings, socket: Path) -> None:
    """Writes where the code server will listen."""
    server = {"grpc_server": {"socket": str(socket), "location_name": LOCATION}}
    workspace_file(settings).write_text(yaml.safe_dump({"load_from": [server]}))


def workspace_file(settings: Settings) -> Path:
    """Where the web page and the daemon find the code server."""
    return settings.dagster_home / "workspace.yaml"


def dagster_environment(settings: Settings, database: ServingStore) -> dict[str, str]:
    """The variables of a Dagster process, those of this one included."""
    return os.environ | {
        "POLLUX_DATA_DIR": str(settings.data_dir),
        "DAGSTER_HOME": str(settings.dagster_home),
        STORAGE_VARIABLE: storage_url(database),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        # Wherever it is started from, the code is this.
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(PROJECT_DIR), os.environ.get("PYTHONPATH")])
        ),
    }


def storage_database(database: ServingStore) -> str:
    """The name of Dagster's database on the serving store's server."""
    serving = str(conninfo_to_dict(database.owner_url).get("dbname") or DATABASE)
    return f"{serving}_dagster"


def storage_url(database: ServingStore) -> str:
    """The URL of Dagster's database; SQLAlchemy 2 takes another driver where none is named."""
    given = {k: str(v) for k, v in conninfo_to_dict(database.owner_url).items() if v is not None}
    user = quote(given.pop("user", OWNER), safe="")
    password = given.pop("password", None)
    login = user if password is None else f"{user}:{quote(password, safe='')}"
    given.pop("dbname", None)
    # Host and port as parameters: a socket's folder is no host name.
    query = urlencode(given, quote_via=quote, safe="/")
    return f"postgresql+psycopg2://{login}@/{quote(storage_database(database), safe='')}?{query}"


def make_database(database: ServingStore) -> None:
    """Makes Dagster's database where it is missing; raises `StorageError` where it may not."""
    name = storage_database(database)
    try:
        psycopg.connect(make_conninfo(database.owner_url, dbname=name), connect_timeout=10).close()
    except psycopg.OperationalError:
        pass
    else:
        return
    with database.connect(autocommit=True) as connection:
        try:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            # A run writes a thousand events; the last of them may go with a crash of the server,
            # which ends the run anyway.
            relaxed = "alter database {} set synchronous_commit = off"
            connection.execute(sql.SQL(relaxed).format(sql.Identifier(name)))
        except psycopg.errors.DuplicateDatabase:
            return
        except psycopg.Error as error:
            raise StorageError(
                f"Dagster's database {name} cannot be made: {str(error).strip()}. Make it with "
                f"create database {name}, owned by the user of POLLUX_DATABASE_URL."
            ) from error
