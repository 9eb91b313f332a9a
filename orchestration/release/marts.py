"""Reads the marts for a release, from the engine that built them.

Belongs here: for each engine a class that implements `Marts`. Does not belong here: which marts
there are (`orchestration.transform.graph`), and the tables that they fill (`tables`).
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
from psycopg import sql

from orchestration.release.errors import ReleaseError
from orchestration.scans import literal, scan_csv
from orchestration.transform.graph import ServedTable
from orchestration.transform.lake import is_whole, open_build
from pollux.masking import told
from pollux.runtime.duck import open_duckdb
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings

# The CSV format of PostgreSQL's `copy`.
CSV = {
    "header": "false",
    "auto_detect": "false",
    "delim": "','",
    "quote": "'\"'",
    "escape": "'\"'",
    # An empty text is quoted, a null is not.
    "allow_quoted_nulls": "false",
}


class Marts(Protocol):
    """The marts of an engine, as a release reads them; one thread at a time."""

    def count(self, table: ServedTable) -> int:
        """Rows of a mart."""

    def built_by(self, table: ServedTable) -> str | None:
        """The dbt invocation that built a mart, None if there is no mart."""

    def write_parquet(self, table: ServedTable, path: str) -> None:
        """Writes a mart to a Parquet file, in the order of its key."""


@contextmanager
def open_marts(
    settings: Settings, invocation: str, tables: Sequence[ServedTable]
) -> Iterator[Marts]:
    """Opens the marts of the installation's engine; the caller holds the warehouse lock.

    `invocation` is the dbt run whose marts are meant.
    """
    if settings.engine == "postgres":
        # While tables are filled it is idle, which servers allow only outside of a transaction.
        with open_serving_store(settings).connect(autocommit=True) as connection:
            yield PostgresMarts(connection, settings.data_dir)
    elif settings.engine == "spark":
        with open_build(settings, invocation, tables) as build:
            yield SparkMarts(build, settings, invocation)
    else:
        with open_warehouse(settings) as marts:
            yield marts


@contextmanager
def open_warehouse(settings: Settings) -> Iterator["DuckDBMarts"]:
    """Opens the marts in the DuckDB warehouse; the caller holds the warehouse lock."""
    try:
        warehouse = open_duckdb(settings.warehouse_path, read_only=True)
    except duckdb.Error as error:
        raise ReleaseError(f"The warehouse cannot be read: {told(error)}") from error
    with warehouse:
        yield DuckDBMarts(warehouse)


class DuckDBMarts:
    """Marts in the DuckDB warehouse."""

    def __init__(self, warehouse: duckdb.DuckDBPyConnection) -> None:
        self._warehouse = warehouse

    def count(self, table: ServedTable) -> int:
        """Rows of a mart."""
        ((rows,),) = _run(self._warehouse, f"select count(*) from {_name(table)}")
        return int(rows)

    def built_by(self, table: ServedTable) -> str | None:
        """The dbt invocation that built a mart, None if there is no mart."""
        found = _run(
            self._warehouse,
            "select comment from duckdb_tables where schema_name = ? and table_name = ?",
            [table.schema, table.name],
        )
        return found[0][0] if found else None

    def write_parquet(self, table: ServedTable, path: str) -> None:
        """Writes a mart to a Parquet file, in the order of its key."""
        _run(self._warehouse, f"copy ({_select(table)}) to {literal(path)} (format parquet)")


class SparkMarts(DuckDBMarts):
    """Marts that a build has written to the lake; DuckDB streams them from there."""

    def __init__(
        self, build: duckdb.DuckDBPyConnection, settings: Settings, invocation: str
    ) -> None:
        super().__init__(build)
        self._settings = settings
        self._invocation = invocation

    def built_by(self, table: ServedTable) -> str | None:
        """The dbt invocation that built a mart, None if it is missing or not whole."""
        return self._invocation if is_whole(self._settings, self._invocation, table) else None


class PostgresMarts:
    """Marts in the PostgreSQL server that also serves."""

    def __init__(self, connection: psycopg.Connection, scratch_dir: Path) -> None:
        self._connection = connection
        self._scratch_dir = scratch_dir

    def count(self, table: ServedTable) -> int:
        """Rows of a mart."""
        count = sql.SQL("select count(*) from {}")
        name = sql.Identifier(table.schema, table.name)
        ((rows,),) = self._connection.execute(count.format(name)).fetchall()
        return int(rows)

    def built_by(self, table: ServedTable) -> str | None:
        """The dbt invocation that built a mart, None if there is no mart."""
        row = self._connection.execute(
            "select obj_description(to_regclass(%s), 'pg_class')",
            [sql.Identifier(table.schema, table.name).as_string(self._connection)],
        ).fetchone()
        return row[0] if row else None

    def write_parquet(self, table: ServedTable, path: str) -> None:
        """Writes a mart to a Parquet file, with the types of its contract, by its key."""
        types = {column.name: column.data_type for column in table.columns}
        with tempfile.NamedTemporaryFile(dir=self._scratch_dir, suffix=".csv") as scratch:
            query = sql.SQL("copy ({}) to stdout (format csv)")
            select = sql.SQL(_select(table))
            with self._connection.cursor().copy(query.format(select)) as stream:
                for chunk in stream:
                    scratch.write(chunk)
            scratch.flush()
            with open_duckdb() as converter:
                reader = scan_csv(Path(scratch.name), CSV | {"columns": _struct(types)})
                _run(converter, f"copy (from {reader}) to {literal(path)} (format parquet)")


def _run(
    engine: duckdb.DuckDBPyConnection, statement: str, parameters: Sequence[str] = ()
) -> list[tuple[Any, ...]]:
    # A statement ends only when its whole result has been fetched.
    return engine.execute(statement, list(parameters)).fetchall()


def _select(table: ServedTable) -> str:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    key = ", ".join(f'"{column}"' for column in table.key)
    return f"select {columns} from {_name(table)} order by {key}"


def _name(table: ServedTable) -> str:
    return f'"{table.schema}"."{table.name}"'


def _struct(types: dict[str, str]) -> str:
    fields = (f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return "{" + ", ".join(fields) + "}"
