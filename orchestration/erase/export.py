"""A subject's own data: every row that is theirs, as loaded, as released, and as events came.

What refers to them in another's row is that other's.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from orchestration.erase.columns import columns_of, declared_columns, find
from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.scans import scan_parquet
from pollux.runtime.duck import open_duckdb
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.subject_rows import subject_columns
from pollux.subjects import Subject

CURRENT = """
select domain || '__r' || number from release.current
union all
select domain || '__live' from release.current
"""


def export(settings: Settings, subject: Subject) -> dict[str, Any]:
    """The document: `loaded` rows by dataset, those `served` by mart, and `events` by table."""
    served: dict[str, Any] = {}
    if find_serving_store(settings).is_made():
        with open_serving_store(settings).connect() as connection:
            served = dict(_read_served(connection, subject))
    return {
        "subject": subject._asdict(),
        "loaded": dict(_read_landed(settings, subject)),
        "served": {name: rows for name, rows in served.items() if not name.startswith("events.")},
        "events": {name: rows for name, rows in served.items() if name.startswith("events.")},
    }


def _read_landed(settings: Settings, subject: Subject) -> Iterator[tuple[str, Any]]:
    columns = declared_columns(PROJECT_DIR)
    with open_duckdb() as engine:
        for dataset in read_datasets(PROJECT_DIR).values():
            paths = [part.path for part in landing.parts(settings, dataset)]
            if not paths:
                continue
            source = scan_parquet(paths)
            found = find(columns_of(engine, source), [subject], columns)
            if not found.rows:
                continue
            done = engine.execute(f"from {source} where {found.is_row}")
            names = [name for name, *_ in done.description]
            if rows := [dict(zip(names, row, strict=True)) for row in done.fetchall()]:
                yield f"{dataset.domain}.{dataset.name}", rows


def _read_served(connection: psycopg.Connection, subject: Subject) -> Iterator[tuple[str, Any]]:
    shown = {"events"}
    if connection.execute("select to_regclass('release.current')").fetchone() != (None,):
        shown |= {schema for (schema,) in connection.execute(CURRENT).fetchall()}
    for schema, table, column, is_own in subject_columns(connection, subject.kind):
        if schema not in shown or not is_own:
            continue
        with connection.cursor(row_factory=dict_row) as cursor:
            query = sql.SQL("select * from {} where {} = %s").format(
                sql.Identifier(schema, table), sql.Identifier(column)
            )
            rows = cursor.execute(query, [subject.value]).fetchall()
        if rows:
            # What is newer than the release is shown beside it.
            yield f"{schema.partition('__r')[0]}.{table}", rows
