"""The lake: the folder that engine `spark` writes builds to, as Parquet.

Belongs here: its layout `<dbt invocation>/<schema>/<table>/*.parquet`, which tables are whole,
reading them, and removing builds. Does not belong here: writing them, which dbt does
(`macros/spark/lake.sql`).
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import duckdb

from orchestration.object_store import claim_stores, drop_from_lake, folders_in_lake
from orchestration.scans import identifier, scan_parts
from orchestration.transform.errors import BuildError
from orchestration.transform.graph import ServedTable
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import Settings

# Spark writes it into a table's folder last.
WHOLE = "_SUCCESS"
OWNER = ".pollux"
# What does not fit is sorted on disk.
MEMORY_LIMIT = "1GB"


def table_dir(settings: Settings, invocation: str, schema: str, name: str) -> Path:
    """The folder of a table of a build."""
    return settings.lake_dir / invocation / schema / name


def is_whole(settings: Settings, invocation: str, table: ServedTable) -> bool:
    """Whether a build has written all of a mart."""
    return (table_dir(settings, invocation, table.schema, table.name) / WHOLE).is_file()


@contextmanager
def open_build(
    settings: Settings, invocation: str, tables: Iterable[ServedTable]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection in which each mart of a build that is whole is `<schema>.<name>`.

    Columns have the types of the contracts. Files are read as they are needed.
    """
    scratch_dir = tempfile.TemporaryDirectory(dir=settings.data_dir, prefix="lake")
    with scratch_dir as scratch, open_duckdb() as build:
        build.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        build.execute("set temp_directory = ?", [scratch])
        for table in tables:
            if is_whole(settings, invocation, table):
                folder = table_dir(settings, invocation, table.schema, table.name)
                _show(build, table, folder)
        yield build


def claim_lake(settings: Settings) -> None:
    """Makes the lake this installation's own, so that no other removes its builds.

    Raises `BuildError` if another installation has it, or it cannot be written; and
    `ObjectStoreError`.
    """
    claim_stores(settings)
    lake = settings.lake_dir
    if lake.is_relative_to(settings.data_dir):
        return
    owner = str(settings.data_dir)
    try:
        lake.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(lake / OWNER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            found = (lake / OWNER).read_text()
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(owner)
            found = owner
    except OSError as error:
        raise BuildError(f"The lake {lake} cannot be used: {error.strerror}.") from error
    if found != owner:
        raise BuildError(
            f"{lake} is the lake of the installation in {found}: name another in POLLUX_LAKE_URL, "
            f"or remove {lake / OWNER} if that installation is gone."
        )


def drop_builds(settings: Settings, kept: Set[str]) -> None:
    """Removes all builds but these; the caller holds the warehouse lock."""
    sent = folders_in_lake(settings)
    drop_from_lake(settings, {name for name in sent - kept if _is_invocation(name)})
    if not settings.lake_dir.is_dir():
        return
    for folder in settings.lake_dir.iterdir():
        if folder.name not in kept and _is_invocation(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _show(build: duckdb.DuckDBPyConnection, table: ServedTable, folder: Path) -> None:
    columns = ", ".join(
        f"{identifier(column.name)}::{column.data_type} as {identifier(column.name)}"
        for column in table.columns
    )
    build.execute(f"create schema if not exists {identifier(table.schema)}")
    name = f"{identifier(table.schema)}.{identifier(table.name)}"
    build.execute(f"create view {name} as select {columns} from {scan_parts(folder)}")


def _is_invocation(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
