"""A preview of the marts of a build, on any engine: row counts, and the first few rows.

Personal data are not read: their columns hold a mask.

`transform` shows it in Dagster; `orchestration.release.marts` reads whole marts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import psycopg

from orchestration.transform.graph import ServedTable
from orchestration.transform.lake import open_build
from pollux.personal import MASKED
from pollux.runtime.duck import open_duckdb
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.warehouse import lock_warehouse

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Glance:
    """A mart's row count, its column names, and its first rows by key."""

    rows: int
    columns: tuple[str, ...]
    first: tuple[tuple[Any, ...], ...]


def glance_at(
    settings: Settings, invocation: str, tables: Sequence[ServedTable]
) -> dict[str, Glance]:
    """Previews of the marts of a dbt run, by name; waits for the warehouse lock."""
    if settings.engine == "postgres":
        with open_serving_store(settings).connect() as connection:
            return {table.name: _glance(connection, table) for table in tables}
    spark = settings.engine == "spark"
    with (
        lock_warehouse(settings, "a look at the marts"),
        open_build(settings, invocation, tables)
        if spark
        else open_duckdb(settings.warehouse_path, read_only=True) as warehouse,
    ):
        return {table.name: _glance(warehouse, table) for table in tables}


def _glance(
    engine: duckdb.DuckDBPyConnection | psycopg.Connection[Any], table: ServedTable
) -> Glance:
    name = f'"{table.schema}"."{table.name}"'
    count: Any = engine.execute(f"select count(*) from {name}")
    ((rows,),) = count.fetchall()
    key = ", ".join(f'"{column}"' for column in table.key)
    columns = tuple(column.name for column in table.columns)
    shown = ", ".join(
        f"'{MASKED}'" if column.is_personal else f'"{column.name}"' for column in table.columns
    )
    first: Any = engine.execute(f"select {shown} from {name} order by {key} limit {SHOWN_ROWS}")
    return Glance(int(rows), columns, tuple(tuple(row) for row in first.fetchall()))
