"""Describes what failed in a build, with the rows that made a test fail."""

from collections.abc import Sequence
from typing import Any

import duckdb
import psycopg

from orchestration.transform.dbt import NodeResult
from pollux.runtime.duck import open_duckdb
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings

SHOWN_ROWS = 5


def describe_failures(
    settings: Settings, database: ServingStore | None, failures: Sequence[NodeResult]
) -> str:
    """One paragraph per failure: its name, its message, and the first of its rows.

    The caller holds the warehouse lock if the engine is DuckDB.
    """
    return "\n".join(_describe(settings, database, failure) for failure in failures)


def _describe(settings: Settings, database: ServingStore | None, failure: NodeResult) -> str:
    kind, _, name = failure.unique_id.split(".")[:3]
    if failure.status != "fail":
        return f"{kind} {name} could not run: {failure.message.strip()}"
    text = f"{kind} {name} failed on {failure.failures} rows"
    try:
        columns, rows = _first_rows(settings, database, failure.compiled_code)
    except (duckdb.Error, psycopg.Error):
        return f"{text}."
    shown = [", ".join(f"{c}={v}" for c, v in zip(columns, row, strict=True)) for row in rows]
    return "\n  ".join([f"{text}, the first of them:", *shown])


def _first_rows(
    settings: Settings, database: ServingStore | None, query: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    if database is not None:
        with database.connect() as connection:
            cursor = connection.execute(query.encode())
            return [c.name for c in cursor.description or []], cursor.fetchmany(SHOWN_ROWS)
    with open_duckdb(settings.warehouse_path, read_only=True) as warehouse:
        result = warehouse.execute(query)
        return [c[0] for c in result.description or []], result.fetchmany(SHOWN_ROWS)
