"""Moves the rows of a DuckDB query into a PostgreSQL table, as a stream.

DuckDB writes CSV into a pipe and PostgreSQL's COPY reads it, so that no row becomes a Python
object and memory stays flat.
"""

import os
import threading

import duckdb
import psycopg
from psycopg import sql

CHUNK_BYTES = 1 << 18


def copy_query(
    source: duckdb.DuckDBPyConnection,
    query: str,
    connection: psycopg.Connection,
    table: sql.Identifier,
) -> None:
    """Appends the rows of `query` to `table`, whose columns have the same order.

    Raises the error of whichever side failed first; the caller's transaction is then to be
    rolled back.
    """
    read_end, write_end = os.pipe()
    failures: list[duckdb.Error] = []

    def write() -> None:
        try:
            source.cursor().execute(
                f"copy ({query}) to '/dev/fd/{write_end}' "
                "(format csv, header false, use_tmp_file false)"
            )
        except duckdb.Error as error:
            failures.append(error)
        finally:
            os.close(write_end)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with (
            os.fdopen(read_end, "rb") as stream,
            connection.cursor().copy(
                sql.SQL("copy {} from stdin (format csv)").format(table)
            ) as to,
        ):
            while chunk := stream.read(CHUNK_BYTES):
                to.write(chunk)
            writer.join()
            if failures:
                raise failures[0]
    finally:
        writer.join()
