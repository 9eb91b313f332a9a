"""Makes a backup while everything runs.

The landing zone comes first and the database second, so the database holds every event that has
landed. Files are hard-linked under a lock, which is quick, and copied afterwards. Release files and
tables are from the same moment: no release can switch in between.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg import sql

from orchestration.backup.contents import (
    DUMP,
    FORMAT,
    KEYS,
    LANDED,
    BackupError,
    Contents,
    read_tables,
    sha256,
    tables,
    write_contents,
)
from orchestration.load import landing
from orchestration.release import registry
from pollux.masking import told
from pollux.runtime.postgres import binaries_dir
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step

# In the data folder, so that files can be hard-linked; one backup at a time.
STAGING = ".backup"
LEFT_OUT = shutil.ignore_patterns(".*", "*.new")


@dataclass(frozen=True)
class BackupReport:
    """A backup: its folder, its counts, and its size in bytes."""

    folder: str
    files: int
    tables: int
    rows: int
    bytes: int


def back_up(
    settings: Settings, to: Path, progress: Callable[[str], None] = lambda _what: None
) -> BackupReport:
    """Writes a backup to the folder `to`, which must be empty or missing.

    Raises `BackupError` if it cannot be written, and `LandingError` or `ReleaseError` if a load,
    build or release holds its lock for too long.
    """
    target = to.expanduser().resolve()
    _check_target(settings, target)
    database = open_serving_store(settings)
    staging = settings.data_dir / STAGING
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(staging, ignore_errors=True)
        progress("landing")
        with landing.locked(settings):
            for name in LANDED:
                folder = settings.landing_dir if name == "landing" else settings.data_dir / name
                _link(folder, staging / name)
        _link(settings.keys_dir, staging / KEYS)
        step("backup.landing_linked")
        with _snapshot(database) as (connection, names, snapshot):
            _link(settings.releases_dir, staging / "releases")
            step("backup.releases_linked")
            progress("database")
            _dump(database, names, snapshot, target / DUMP)
            found = read_tables(connection)
        step("backup.database_dumped")
        progress("files")
        shutil.copytree(staging, target, symlinks=True, dirs_exist_ok=True)
        step("backup.files_copied")
        files = {
            str(path.relative_to(target)): sha256(path)
            for path in sorted(target.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
        write_contents(
            target,
            Contents(
                format=FORMAT,
                pollux=version("pollux"),
                made_at=datetime.now(UTC).isoformat(timespec="seconds"),
                engine=settings.engine,
                files=files,
                tables=found,
            ),
        )
    except (OSError, psycopg.Error) as error:
        raise BackupError(
            f"The backup to {target} was not finished: {told(error)}. Remove the folder, "
            "and try again."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return BackupReport(
        folder=str(target),
        files=len(files),
        tables=len(found),
        rows=sum(table.rows for table in found.values()),
        bytes=sum((target / name).stat().st_size for name in files),
    )


def _check_target(settings: Settings, target: Path) -> None:
    if target.is_relative_to(settings.data_dir):
        raise BackupError(f"{target} is in the data folder: a backup belongs on another disk.")
    try:
        is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    except OSError as error:
        raise BackupError(f"{target} cannot be read: {error.strerror}") from error
    if not is_free:
        raise BackupError(f"{target} is not an empty folder: each backup has one of its own.")


def _link(source: Path, target: Path) -> None:
    """Copies a folder with its files as hard links; does nothing if there is no such folder."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=LEFT_OUT, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    # Files that are only ever replaced can be linked; the load log grows in place.
    if Path(source).suffix != ".jsonl":
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return
    shutil.copy2(source, target)


@contextmanager
def _snapshot(
    database: ServingStore,
) -> Iterator[tuple[psycopg.Connection, Sequence[tuple[str, str]], str]]:
    """A transaction with a fixed snapshot, its tables, and the exported snapshot's name.

    No release is made while it begins, and its tables stay until it ends.
    """
    with ExitStack() as ended, database.connect() as locks, database.connect() as connection:
        domains = {row.domain for row in registry.read_releases(locks)}
        for domain in sorted(domains):
            ended.enter_context(registry.lock_releases(locks, domain))
        connection.execute("set transaction isolation level repeatable read")
        names = tables(connection)
        for schema, name in names:
            table = sql.Identifier(schema, name)
            connection.execute(sql.SQL("lock table {} in access share mode").format(table))
        row = connection.execute("select pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101
        yield connection, names, row[0]


def _dump(
    database: ServingStore, names: Sequence[tuple[str, str]], snapshot: str, target: Path
) -> None:
    schemas = sorted({schema for schema, _ in names})
    if not schemas:
        target.touch()
        return
    command = [
        *(str(binaries_dir() / "pg_dump"), "--format=custom", "--compress=1"),
        *("--no-owner", "--no-acl", f"--snapshot={snapshot}", f"--file={target}"),
        *(f'--schema="{schema}"' for schema in schemas),
    ]
    environment = os.environ | database.libpq_environment()
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BackupError(f"The database cannot be dumped: {done.stderr.strip()}")
