"""Marts on their way from their engine to a release: each as Parquet first, then as a table.

A thread writes one file after the other, while the caller fills the tables from those that are
written: engine and serving database work at the same time, and a mart is read and sorted once.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psycopg
from psycopg import sql

from orchestration.copying import CopiedColumn, copy_rows
from orchestration.release.marts import Marts
from orchestration.scans import scan_parquet
from orchestration.transform.graph import ServedTable
from pollux.runtime.duck import open_duckdb

# Their values hold neither quotes nor commas.
PLAIN_TYPES = ("bigint", "integer", "decimal", "double", "boolean", "date", "timestamp")


@contextmanager
def exporting(marts: Marts, tables: Sequence[ServedTable], folder: Path) -> Iterator["Exports"]:
    """Writes each mart to `<folder>/<mart>.parquet`; until it ends, nobody else may use `marts`."""
    with open_duckdb() as engine, ThreadPoolExecutor(1, "export") as thread:
        files = {
            table.name: thread.submit(_write, marts, table, folder / f"{table.name}.parquet")
            for table in tables
        }
        try:
            yield Exports(engine, files)
        finally:
            thread.shutdown(cancel_futures=True)


class Exports:
    """The files that a thread writes, in their order."""

    def __init__(self, engine: duckdb.DuckDBPyConnection, files: dict[str, Future[Path]]) -> None:
        self._engine = engine
        self._files = files

    def copy(self, table: ServedTable, connection: psycopg.Connection, schema: str) -> int:
        """Fills the table of a release, which this transaction made; returns its rows.

        Waits for the mart's file, and raises what writing it raised.
        """
        return copy_rows(
            self._engine,
            scan_parquet([self._files[table.name].result()]),
            [
                CopiedColumn(column.name, not column.data_type.startswith(PLAIN_TYPES))
                for column in table.columns
            ],
            connection,
            sql.Identifier(schema, table.name),
            is_new=True,
        )


def _write(marts: Marts, table: ServedTable, path: Path) -> Path:
    marts.write_parquet(table, str(path))
    return path
