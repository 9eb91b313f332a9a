"""Lands what the event service received, from its tables: the datasets of `events`.

Belongs here: finding the new rows, missing none and landing none twice. Does not belong here: the
tables, which belong to the service, and what their rows mean, which dbt models define.

A part holds a range of row numbers and is named after it, so the landing zone itself shows which
rows have landed.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from orchestration.load import journal, landing
from orchestration.load.convert_csv import Binding, connect, convert_clean
from orchestration.load.declarations import Column, Dataset
from orchestration.load.errors import LandingError, LoadError
from orchestration.load.event_datasets import EVENTS, event_datasets, last_number
from orchestration.load.landing import Part
from orchestration.scans import identifier, scan_parquet
from pollux.masking import told
from pollux.runtime.duck import open_duckdb
from pollux.runtime.serving import ServingStore, find_serving_store, open_serving_store
from pollux.runtime.settings import Settings

PART_ROWS = 1_000_000
POLL_SECONDS = 0.01
# How many of the last landed rows are compared with the table.
COMPARED_ROWS = 1000

# A transaction that has taken a number and not yet committed holds this lock on the table.
_WRITERS = """
select virtualtransaction, pid from pg_locks
where relation = %s::regclass and mode = 'RowExclusiveLock'
    and granted and database = (select oid from pg_database where datname = current_database())
"""
# The event service's commits are visible before they are on disk; flushing a record of our own
# flushes them too. Else a crashed server could give the numbers of lost rows to other events.
_FLUSH = "select pg_logical_emit_message(true, 'pollux', '')"
# The highest number ever given to a row, whether or not the row still exists.
_GIVEN = """
select greatest(
    pg_sequence_last_value(pg_get_serial_sequence({name}, 'number')::regclass),
    (select max(number) from {table})
)
"""
# Orders are in the shop's local time, so events are converted to it here, where zones are known.
_SHOP_TIME = "event_shop_time"


def land_events(settings: Settings, datasets: Sequence[Dataset] | None = None) -> dict[str, int]:
    """Lands the rows that are new since the last time, of all event datasets or of these.

    Returns rows landed by dataset; empty if the event service has never run. Does not start an
    embedded server that was never made.

    Raises:
        LandingError: when the landing zone is locked, rows stay uncommitted for too long, or the
            connection fails.
        LoadError: when the tables are not those from which rows landed before.
        ServingStoreError: when the serving database cannot be reached.

    """
    chosen = event_datasets() if datasets is None else datasets
    database = find_serving_store(settings)
    if not chosen or (database.embedded is not None and not database.embedded.exists()):
        return {}
    database = open_serving_store(settings)
    try:
        return _land_from(database, settings, chosen)
    except psycopg.Error as error:
        raise LandingError(
            f"Events cannot be read from the serving database: {told(error)}"
        ) from error


def _land_from(
    database: ServingStore, settings: Settings, datasets: Sequence[Dataset]
) -> dict[str, int]:
    landed: dict[str, int] = {}
    with database.connect(autocommit=True) as connection:
        connection.execute("set datestyle = 'ISO'")
        connection.execute("set client_encoding = 'UTF8'")
        connection.execute("set synchronous_commit = 'on'")
        for dataset in datasets:
            table = sql.Identifier(EVENTS, dataset.name)
            name = table.as_string(connection)
            found = connection.execute("select to_regclass(%s)", [name]).fetchone()
            if found is not None and found[0] is not None:
                with landing.locked(settings), landing.workspace(settings) as work:
                    landed[dataset.name] = _land(connection, settings, dataset, table, work)
    return landed


def _land(
    connection: psycopg.Connection[Any],
    settings: Settings,
    dataset: Dataset,
    table: sql.Identifier,
    work: Path,
) -> int:
    present = landing.parts(settings, dataset)
    done = max(map(last_number, present), default=0)
    if present:
        _check_is_continued(connection, dataset, table, present)
    outdated = [part for part in present if part.declaration != dataset.fingerprint]
    if outdated:
        # All rows that the table still holds land again under the new columns.
        outdated, done = present, 0
    bound = _settled_number(connection, settings, table)
    rows = 0
    moves: dict[Path, Path] = {}
    while done < bound:
        upper = _number(
            connection,
            sql.SQL(
                "select max(number) from (select number from {} where number > {} and number <= {} "
                "order by number limit {}) as found"
            ).format(table, done, bound, PART_ROWS),
        )
        if not upper:
            # The rows were deleted meanwhile.
            break
        part = work / str(upper)
        rows += _copy_range(connection, settings, dataset, table, (done + 1, upper), part)
        name = f"{dataset.name}_{done + 1:012d}-{upper:012d}"
        moves[part] = landing.part_path(settings, dataset, name)
        done = upper
    if moves or outdated:
        with landing.writable(settings.landing_dir):
            journal.commit(settings, moves=moves, removals=[part.path for part in outdated])
    return rows


def _settled_number(
    connection: psycopg.Connection[Any], settings: Settings, table: sql.Identifier
) -> int:
    """The number up to which rows can neither appear nor be lost any more; 0 without rows.

    Rows get numbers before they are committed, so a lower one may appear after a higher. A writer
    holds a lock on the table, so this waits for those that hold it now. Taking a lock of our own
    instead would make events wait for us.
    """
    bound = _number(connection, sql.SQL("select max(number) from {}").format(table))
    name = table.as_string(connection)
    writing = dict(connection.execute(_WRITERS, [name]).fetchall())
    deadline = time.monotonic() + settings.lock_timeout_seconds
    while writing:
        if time.monotonic() > deadline:
            raise LandingError(
                f"{name} is being written by {', '.join(map(str, writing.values()))} (process of "
                f"PostgreSQL) since {settings.lock_timeout_seconds:g} s; try again when it is done"
            )
        time.sleep(POLL_SECONDS)
        still = dict(connection.execute(_WRITERS, [name]).fetchall())
        writing = {key: pid for key, pid in writing.items() if key in still}
    connection.execute(_FLUSH)
    return bound


def _check_is_continued(
    connection: psycopg.Connection[Any],
    dataset: Dataset,
    table: sql.Identifier,
    present: Sequence[Part],
) -> None:
    """Raise `LoadError` if the table is not the one from which rows landed before.

    A new or restored database gives numbers a second time, so new rows would be missed silently.
    Rows may have been deleted since they landed. So of the rows that landed last, those still in
    the table must be the same, and the sequence must not be behind them.
    """
    done = max(map(last_number, present))
    names = ", ".join(map(identifier, dataset.key))
    with open_duckdb() as engine:
        rows = engine.execute(
            f"select number, {names} from {scan_parquet([part.path for part in present])} "
            f"order by number desc limit {COMPARED_ROWS}"
        ).fetchall()
    landed = {number: [str(value) for value in key] for number, *key in rows}
    keys = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c)) for c in dataset.key)
    query = sql.SQL("select number, {} from {} where number = any(%s)").format(keys, table)
    there = {n: key for n, *key in connection.execute(query, [[*landed]]).fetchall()}
    name = sql.Literal(table.as_string(connection))
    given = _number(connection, sql.SQL(_GIVEN).format(name=name, table=table))
    other = next((n for n in sorted(there, reverse=True) if there[n] != landed[n]), None)
    if other is None and given >= done:
        return
    what = f"number {other} is another row there" if other else f"its numbers end at {given}"
    raise LoadError(
        f"{EVENTS}.{dataset.name} is not the table that rows up to number {done} have landed from: "
        f"{what}. It is of another database, or was restored from a backup, and its new events "
        f"would be missed. Move {present[0].path.parent} away to land what it holds now, or "
        "point POLLUX_DATABASE_URL to the earlier database."
    )


def _copy_range(
    connection: psycopg.Connection[Any],
    settings: Settings,
    dataset: Dataset,
    table: sql.Identifier,
    numbers: tuple[int, int],
    out: Path,
) -> int:
    first, last = numbers
    query = sql.SQL(
        "copy (select {} from {} where number between {} and {} order by number) "
        "to stdout (format csv)"
    ).format(
        sql.SQL(", ").join(_value(column, settings) for column in dataset.columns),
        table,
        first,
        last,
    )
    digest = hashlib.sha256()
    longest = 0
    work = out.parent
    copied = work / "rows.csv"
    with landing.writable(work), copied.open("wb") as lines, connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for block in copy:
                digest.update(block)
                longest = max(longest, len(block))
                lines.write(block)
        sent = cursor.rowcount
    record = landing.part_record(dataset, sha256=digest.hexdigest(), rejected=0, sample=False)
    with connect(work) as engine:
        landed = convert_clean(
            engine,
            copied,
            binding=Binding(dataset.columns, tuple(range(len(dataset.columns)))),
            out=out,
            metadata=record,
            line_end=b"\n",
            longest=longest,
            # A text may hold line ends, or be empty.
            parallel=False,
            keep_blank=True,
        )
    if landed != sent:
        raise LoadError(
            f"{EVENTS}.{dataset.name}: {sent:,} rows were read but {landed:,} landed. This is a "
            "fault of the loader, please report it"
        )
    return landed


def _value(column: Column, settings: Settings) -> sql.Composable:
    """A column as text that the landing zone's types can parse."""
    name = sql.Identifier(column.name)
    if column.name == _SHOP_TIME:
        return sql.SQL("event_at at time zone {}").format(sql.Literal(settings.store_timezone))
    if column.type == "timestamp":
        return sql.SQL("{} at time zone 'UTC'").format(name)
    if column.type in {"text", "boolean"}:
        return sql.SQL("{}::text").format(name)
    return name


def _number(connection: psycopg.Connection[Any], query: sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0
