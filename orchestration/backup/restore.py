"""Restores a backup into an empty data folder and a database that holds none of its tables.

Each step can be repeated after a kill. The tables are restored in one transaction. Then the folders
get their names one by one, landing last, since nothing can be built without it.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orchestration.backup.contents import (
    DUMP,
    FOLDERS,
    BackupError,
    Contents,
    read_contents,
    read_tables,
    sha256,
)
from orchestration.release import live, registry
from orchestration.release.follow import follow_switch
from pollux.masking import told
from pollux.runtime.postgres import binaries_dir
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step

# In the data folder during a restore; it holds the files until they get their names.
STAGING = ".restore"
# A setting that older servers do not know.
UNKNOWN_TO_OLD_SERVERS = b"SET transaction_timeout = 0;\n"
HEAD_BYTES = 65_536


@dataclass(frozen=True)
class RestoreReport:
    """What was restored and found equal to the backup."""

    made_at: str
    files: int
    tables: int
    rows: int
    notes: tuple[str, ...] = ()


def restore(
    settings: Settings, from_: Path, progress: Callable[[str], None] = lambda _what: None
) -> RestoreReport:
    """Restores a backup into this installation, which must hold nothing yet.

    Raises `BackupError` if the backup is damaged, the data folder or the database is in use, or
    the result differs from the backup.
    """
    source = from_.expanduser().resolve()
    contents = read_contents(source)
    progress("checking the backup")
    _check_files(source, contents.files)
    staging = settings.data_dir / STAGING
    _check_data_dir(settings, staging)
    database = open_serving_store(settings)
    try:
        progress("files")
        staging.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            shutil.rmtree(staging / name, ignore_errors=True)
            if (source / name).is_dir() and not (settings.data_dir / name).exists():
                shutil.copytree(source / name, staging / name, symlinks=True)
        step("restore.files_copied")
        progress("database")
        if not _is_loaded(database, contents):
            _load_dump(database, source / DUMP)
        step("restore.database_loaded")
        for name in reversed(FOLDERS):
            if (staging / name).is_dir():
                (staging / name).rename(settings.data_dir / name)
                step("restore.folder_named")
        progress("comparing")
        _check_restored(settings, database, contents)
        step("restore.compared")
        notes = _follow(settings, database)
        step("restore.views_made")
        staging.rmdir()
    except (OSError, psycopg.Error) as error:
        raise BackupError(f"The restore was not finished: {told(error)}. Run it again.") from error
    return RestoreReport(
        made_at=contents.made_at,
        files=len(contents.files),
        tables=len(contents.tables),
        rows=sum(table.rows for table in contents.tables.values()),
        notes=notes,
    )


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raises `BackupError` naming the files that are missing or not what was written."""
    damaged = [
        name
        for name, expected in files.items()
        if not (folder / name).is_file() or sha256(folder / name) != expected
    ]
    if damaged:
        shown = ", ".join(damaged[:5]) + (", …" if len(damaged) > 5 else "")  # noqa: PLR2004
        raise BackupError(f"{folder} is damaged: {len(damaged)} files differ ({shown}).")


def _check_data_dir(settings: Settings, staging: Path) -> None:
    if settings.landing_dir != settings.data_dir / "landing":
        raise BackupError(
            "A restore writes the landing zone to the data folder: run it without "
            "POLLUX_LANDING_URL, then move the folder landing there."
        )
    if staging.exists():
        # An interrupted restore.
        return
    found = [name for name in FOLDERS if (settings.data_dir / name).exists()]
    if found:
        raise BackupError(
            f"{settings.data_dir} holds {', '.join(found)} already: a restore needs an empty data "
            "folder; POLLUX_DATA_DIR names another."
        )


def _is_loaded(database: ServingStore, contents: Contents) -> bool:
    """Whether the tables of the backup are there, as after an interrupted restore.

    Raises `BackupError` if there are others.
    """
    with database.connect() as connection:
        found = read_tables(connection)
    if found and found != contents.tables:
        schemas = sorted({name.partition(".")[0] for name in found})
        raise BackupError(
            f"The database holds {', '.join(schemas)} already: a restore needs a database without "
            "them; POLLUX_DATABASE_URL names another."
        )
    return bool(found)


def _load_dump(database: ServingStore, dump: Path) -> None:
    if dump.stat().st_size == 0:
        return
    environment = os.environ | database.libpq_environment()
    reader = subprocess.Popen(
        [str(binaries_dir() / "pg_restore"), "--no-owner", "--no-acl", "--file=-", str(dump)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writer = subprocess.Popen(
        [str(binaries_dir() / "psql"), "--no-psqlrc", "--quiet", "--single-transaction"]
        + ["--set=ON_ERROR_STOP=1", "--output=/dev/null"],
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert reader.stdout is not None  # noqa: S101
    assert writer.stdin is not None  # noqa: S101
    head = reader.stdout.read(HEAD_BYTES).replace(UNKNOWN_TO_OLD_SERVERS, b"", 1)
    try:
        writer.stdin.write(head)
        shutil.copyfileobj(reader.stdout, writer.stdin)
        writer.stdin.close()
    except BrokenPipeError:
        # The error below says why.
        pass
    said = [process.stderr.read().decode() for process in (reader, writer) if process.stderr]
    if reader.wait() != 0 or writer.wait() != 0:
        raise BackupError(f"The database cannot be restored: {' '.join(said).strip()}")


def _follow(settings: Settings, database: ServingStore) -> tuple[str, ...]:
    """Makes the reader role, its rights, the views for people, and tables for live rows.

    Those rows are not in a backup: the purchases that came after the release are computed again.
    """
    notes: tuple[str, ...] = ()
    with database.connect() as connection:
        registry.prepare_store(connection, database)
        for row in registry.read_releases(connection):
            if row.is_current:
                kept = live.read(connection, row.domain, row.number)
                live.take_over(connection, database, row.domain, row.number, kept)
                connection.commit()
                notes += follow_switch(settings, connection, database, row.domain, row.number)
    return notes


def _check_restored(settings: Settings, database: ServingStore, contents: Contents) -> None:
    with database.connect() as connection:
        found = read_tables(connection)
    differing = sorted(
        name
        for name in found.keys() | contents.tables.keys()
        if found.get(name) != contents.tables.get(name)
    )
    if differing:
        raise BackupError(f"Restored, but these tables differ: {', '.join(differing)}.")
    files = {name: digest for name, digest in contents.files.items() if name != DUMP}
    _check_files(settings.data_dir, files)
