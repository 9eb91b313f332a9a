"""Landing to PostgreSQL: the raw tables that engine `postgres` builds from.

Belongs here: schema `raw_<domain>`, its tables, and the copy. Does not belong here: the serving
store and its releases.
"""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import psycopg
from psycopg import sql

from orchestration.load import landing
from orchestration.load.convert_csv import connect, identifier, literal, pattern
from orchestration.load.declarations import Dataset
from orchestration.load.errors import LoadError
from pollux.runtime.settings import Settings

POSTGRES_TYPES = {
    "text": "text",
    "integer": "bigint",
    "money": "numeric(18,2)",
    "number": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp without time zone",
}
_CHUNK = 1 << 20


def sync_raw(
    connection: psycopg.Connection,
    settings: Settings,
    datasets: Iterable[Dataset],
    progress: Callable[..., None] | None = None,
) -> dict[str, int | None]:
    """Make every dataset's raw table hold exactly what has landed.

    Returns rows copied by `domain.dataset`, None where the table already held it. Each table
    changes in a transaction of its own; it is emptied and filled, never dropped. `progress` is
    called as `progress(file=dataset, done=bytes, total=None)`.

    Raises:
        LoadError: when a table's columns are not those declared, or have other types.

    """
    copied: dict[str, int | None] = {}
    for dataset in datasets:
        with connection.transaction():
            copied[f"{dataset.domain}.{dataset.name}"] = _sync(
                connection, settings, dataset, progress or _silent
            )
    return copied


def _sync(
    connection: psycopg.Connection,
    settings: Settings,
    dataset: Dataset,
    progress: Callable[..., None],
) -> int | None:
    table = sql.Identifier(f"raw_{dataset.domain}", dataset.name)
    _make_table(connection, dataset, table)
    fingerprint = f"landing {landing.dataset_fingerprint(settings, dataset)}"
    row = connection.execute(
        "SELECT obj_description(%s::regclass, 'pg_class')", [table.as_string(connection)]
    ).fetchone()
    if row and row[0] == fingerprint:
        return None
    connection.execute(sql.SQL("TRUNCATE {}").format(table))
    found = landing.parts(settings, dataset)
    rows = _copy(connection, settings, dataset, found, progress) if found else 0
    landed = sum(part.rows_landed for part in found)
    if rows != landed:
        raise LoadError(
            f"{dataset.domain}.{dataset.name}: {landed:,} rows landed, {rows:,} were copied to "
            "PostgreSQL; was a load running? Try again"
        )
    comment = sql.SQL("COMMENT ON TABLE {} IS {}")
    connection.execute(comment.format(table, sql.Literal(fingerprint)))
    connection.execute(sql.SQL("ANALYZE {}").format(table))
    return rows


def _make_table(
    connection: psycopg.Connection, dataset: Dataset, table: sql.Identifier
) -> None:
    schema = sql.Identifier(f"raw_{dataset.domain}")
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
    connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ()").format(table))
    present = dict(
        connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [table.as_string(connection)],
        ).fetchall()
    )
    declared = {column.name: POSTGRES_TYPES[column.type] for column in dataset.columns}
    where = f"raw_{dataset.domain}.{dataset.name}"
    wrong = [
        f"{name} is {type_}, declared is {declared[name]}" if name in declared
        else f"{name} is not declared any more"
        for name, type_ in present.items()
        if declared.get(name) != type_
    ]  # fmt: skip
    if wrong:
        raise LoadError(
            f"table {where} in PostgreSQL differs from the declaration: {'; '.join(wrong)}. "
            f"Alter the table, or drop it and build again"
        )
    for name, type_ in declared.items():
        if name not in present:
            add = sql.SQL("ALTER TABLE {} ADD COLUMN {} ") + sql.SQL(type_)  # type: ignore[arg-type]
            connection.execute(add.format(table, sql.Identifier(name)))


def _copy(
    connection: psycopg.Connection,
    settings: Settings,
    dataset: Dataset,
    found: list[landing.Part],
    progress: Callable[..., None],
) -> int:
    """Copy parts as CSV that DuckDB writes to a pipe while PostgreSQL reads it."""
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in dataset.columns)
    table = sql.Identifier(f"raw_{dataset.domain}", dataset.name)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(table, columns)
    with TemporaryDirectory() as folder, connection.cursor() as cursor:
        pipe = Path(folder) / "pipe"
        os.mkfifo(pipe)
        writer = _Writer(settings, dataset, found, pipe)
        writer.start()
        done = 0
        with pipe.open("rb", buffering=0) as source, cursor.copy(statement) as copy:
            while block := source.read(_CHUNK):
                copy.write(block)
                done += len(block)
                progress(file=dataset.name, done=done, total=None)
            writer.join()
            if writer.error:
                raise LoadError(f"{dataset.domain}.{dataset.name}: {writer.error}")
        return cursor.rowcount
