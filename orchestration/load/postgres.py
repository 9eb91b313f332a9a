"""Copies the landing zone to PostgreSQL: the raw tables that engine `postgres` builds from.

Belongs here: schema `raw_<domain>`, its tables, and the copy. Does not belong here: releases.
"""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import psycopg
from psycopg import sql

from orchestration.copying import CopiedColumn, copy_rows
from orchestration.load import landing
from orchestration.load.convert_csv import connect
from orchestration.load.declarations import Dataset
from orchestration.load.errors import LoadError
from orchestration.scans import scan_parquet
from pollux.masking import told
from pollux.runtime.settings import Settings


def sync_raw(
    connection: psycopg.Connection[Any],
    settings: Settings,
    datasets: Iterable[Dataset],
) -> dict[str, int | None]:
    """Make every dataset's raw table hold exactly what has landed.

    Returns rows copied by `domain.dataset`, None where the table was up to date. Each table
    changes in its own transaction; it is emptied and filled, never dropped.

    Raises:
        LoadError: when a table's columns or their types are not those declared.

    """
    copied: dict[str, int | None] = {}
    with landing.locked(settings):
        for dataset in datasets:
            with connection.transaction():
                copied[f"{dataset.domain}.{dataset.name}"] = _sync(connection, settings, dataset)
    return copied


def _sync(connection: psycopg.Connection[Any], settings: Settings, dataset: Dataset) -> int | None:
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
    landing.check_declaration(dataset, found)
    rows = _copy(connection, dataset, found) if found else 0
    landed = sum(part.rows_landed for part in found)
    if rows != landed:
        raise LoadError(
            f"{dataset.domain}.{dataset.name}: {landed:,} rows landed but {rows:,} were copied "
            "to PostgreSQL. This is a fault of the loader, please report it"
        )
    comment = sql.SQL("COMMENT ON TABLE {} IS {}")
    connection.execute(comment.format(table, sql.Literal(fingerprint)))
    connection.execute(sql.SQL("ANALYZE {}").format(table))
    return rows


def _make_table(
    connection: psycopg.Connection[Any], dataset: Dataset, table: sql.Identifier
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
    declared = {column.name: column.data_type.postgres for column in dataset.columns}
    where = f"raw_{dataset.domain}.{dataset.name}"
    wrong = [
        f"{name} is {type_} there, {declared.get(name, 'nothing')} by the declaration"
        for name, type_ in present.items()
        if declared.get(name) != type_
    ]
    if wrong:
        raise LoadError(
            f"table {where} in PostgreSQL is not as declared: {'; '.join(wrong)}. "
            "Alter or drop it by hand; Pollux does not drop raw tables"
        )
    for name, type_ in declared.items():
        if name not in present:
            add = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}")
            connection.execute(add.format(table, sql.Identifier(name), sql.SQL(type_)))


def _copy(connection: psycopg.Connection[Any], dataset: Dataset, found: list[landing.Part]) -> int:
    try:
        with TemporaryDirectory() as folder, connect(Path(folder)) as duck:
            return copy_rows(
                duck,
                scan_parquet(part.path for part in found),
                [CopiedColumn(column.name, column.data_type.is_text) for column in dataset.columns],
                connection,
                sql.Identifier(f"raw_{dataset.domain}", dataset.name),
            )
    except duckdb.Error as error:
        raise LoadError(f"the landing zone cannot be read: {told(error)}") from error
