"""Streams rows from DuckDB into a PostgreSQL table, for load and for release."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import psycopg
from psycopg import sql

from orchestration.scans import identifier

BATCH_ROWS = 20_000


class CopiedColumn(NamedTuple):
    """A column by name; text is quoted, so it may hold anything."""

    name: str
    is_text: bool


def copy_rows(
    source: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[CopiedColumn],
    connection: psycopg.Connection[Any],
    table: sql.Identifier,
    progress: Callable[[int], None] = lambda _bytes: None,
    *,
    is_new: bool = False,
) -> int:
    """Appends the columns of `relation` (what follows a `from`) to a table; returns rows copied.

    `progress` receives the bytes sent. A table that is new was made in this transaction: its rows
    are written as seen by everybody, which saves whoever reads them first from noting it. Raises
    the error of the side that failed; the caller must then roll back its transaction.
    """
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    statement = sql.SQL("copy {} ({}) from stdin (format csv, freeze {})").format(
        table, names, sql.Literal(is_new)
    )
    sent = 0
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for block in _as_csv(source, relation, columns):
                copy.write(block)
                sent += len(block)
                progress(sent)
        return cursor.rowcount


def _as_csv(
    source: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[CopiedColumn]
) -> Iterator[memoryview]:
    """Yields rows as CSV, a few thousand at a time.

    DuckDB turns each row into one text, line end included. The buffer of the Arrow column is then
    CSV already, and no row becomes a Python object. `concat` leaves nulls blank.
    """
    line = ", ',', ".join(_field(column) for column in columns)
    query = f"select concat({line}, chr(10)) from {relation}"
    for batch in source.sql(query).to_arrow_reader(BATCH_ROWS):
        lines = batch.column(0)
        _, ends, text = lines.buffers()
        positions = memoryview(ends).cast("B").cast("i")
        start, end = positions[lines.offset], positions[lines.offset + len(lines)]
        yield memoryview(text)[start:end]


def _field(column: CopiedColumn) -> str:
    name = identifier(column.name)
    if column.is_text:
        return f"'\"' || replace({name}, '\"', '\"\"') || '\"'"
    return f"{name}::varchar"
