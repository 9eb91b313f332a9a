"""Describes what failed in a build, with the rows that made a test fail; personal data are masked.

The text goes to logs, to Dagster and to alerts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import psycopg

from orchestration.transform.dbt import NodeResult
from pollux.masking import without_values
from pollux.personal import MASKED, is_personal, looks_personal
from pollux.runtime.duck import open_duckdb
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from pollux.runtime.spark_connect import SparkServer, spark_session
from pollux.runtime.spark_processes import SparkError

SHOWN_ROWS = 5
# Spark's messages go on with it.
STACK = "JVM stacktrace:"
# What dbt's own tests count.
COUNTS = ("n_records",)


def describe_failures(
    settings: Settings,
    database: ServingStore | None,
    failures: Sequence[NodeResult],
    manifest: Mapping[str, Any],
    server: SparkServer | None = None,
) -> str:
    """One paragraph per failure: its name, its message, and the first of its rows.

    The caller holds the warehouse lock if the engine is DuckDB.
    """
    return "\n".join(
        _describe(settings, database, server, failure, manifest) for failure in failures
    )


def _describe(
    settings: Settings,
    database: ServingStore | None,
    server: SparkServer | None,
    failure: NodeResult,
    manifest: Mapping[str, Any],
) -> str:
    kind, _, name = failure.unique_id.split(".")[:3]
    if failure.status != "fail":
        message = failure.message.partition(STACK)[0].strip()
        return f"{kind} {name} could not run: {without_values(message)}"
    text = f"{kind} {name} failed on {failure.failures} rows"
    try:
        columns, rows = _first_rows(settings, database, server, failure.compiled_code)
    except (duckdb.Error, psycopg.Error, SparkError):
        return f"{text}."
    masked = _mask_of(manifest, failure.unique_id)
    shown = [
        ", ".join(f"{c}={masked(c, v)}" for c, v in zip(columns, row, strict=True)) for row in rows
    ]
    return "\n  ".join([f"{text}, the first of them:", *shown])


def _mask_of(manifest: Mapping[str, Any], test: str) -> Callable[[str, object], object]:
    """What may be shown of a column of a test's rows.

    It goes by what the tested tables say of a column of that name. Of a name that the test itself
    gave, texts are masked, and all values where the test is of a personal column.
    """
    nodes = {**manifest["nodes"], **manifest["sources"]}
    said: dict[str, bool] = {}
    for parent in manifest["parent_map"].get(test, ()):
        for name, column in nodes.get(parent, {}).get("columns", {}).items():
            said[name] = said.get(name, False) or is_personal(name, column["config"]["meta"])
    tested = nodes.get(test, {}).get("column_name") or ""
    is_of_personal = said.get(tested, looks_personal(tested))

    def masked(name: str, value: object) -> object:
        is_masked = name not in COUNTS and (is_of_personal or isinstance(value, str))
        if said.get(name, looks_personal(name) or is_masked) and value is not None:
            return MASKED
        return value

    return masked


def _first_rows(
    settings: Settings, database: ServingStore | None, server: SparkServer | None, query: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    if server is not None:
        with spark_session(server) as session:
            frame = session.sql(query).limit(SHOWN_ROWS)
            return frame.columns, [tuple(row) for row in frame.collect()]
    if database is not None:
        with database.connect() as connection:
            cursor = connection.execute(query.encode())
            return [c.name for c in cursor.description or []], cursor.fetchmany(SHOWN_ROWS)
    with open_duckdb(settings.warehouse_path, read_only=True) as warehouse:
        result = warehouse.execute(query)
        return [c[0] for c in result.description or []], result.fetchmany(SHOWN_ROWS)
