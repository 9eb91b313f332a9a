"""Takes out of the serving database the bytes that deleted rows leave behind.

Belongs here: builds of engine postgres, messages that were sent, rewriting tables. Does not belong
here: the rows that services read, which are deleted first (`pollux.runtime.erasures`).

PostgreSQL leaves a deleted row where it was until the table is rewritten, values in its statistics,
and all that was written in its log. The embedded server's log goes with a checkpoint
(`wal_recycle = off`); that of your own server, and its backups, are its operator's.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

import psycopg
from psycopg import sql

from orchestration.erase.changes import Note
from orchestration.erase.columns import IdColumns
from orchestration.erase.scan_database import CATALOG, STATISTICS, conditions_of
from pollux.runtime.serving import ServingStore
from pollux.runtime.steps import step
from pollux.runtime.subject_rows import (
    EMPTIED,
    NUMBERS,
    SubjectColumn,
    delete_messages,
    delete_rows,
    table_columns,
)
from pollux.subjects import MEMBER, Subject

# Rows of these change or go while the service works, so old ones may be left in them.
CHANGING = (
    "contexts", "members", "promo_codes", "segment_changes", "outbox", "dead_letter",
)  # fmt: skip
CANCEL_ANALYSES = """
select pg_cancel_backend(pid)
from pg_stat_activity
where backend_type = 'autovacuum worker' and datname = current_database() and xact_start < %s
"""
CANCEL_TRIES, CANCEL_SECONDS = 100, 0.1
# Where engine postgres does not build: catalogs, and what has a place of its own.
NOT_BUILT = re.compile(r"pg_.*|information_schema|events|erasure|release|live|.*__(r[0-9]+|live)")
# A table that a reader holds for longer is tried again with the next erasure that is finished.
LOCK_TIMEOUT = "5s"


def erase_built(
    connection: psycopg.Connection,
    subjects: Sequence[Subject],
    columns: IdColumns,
    note: Note,
) -> None:
    """Deletes subjects from builds and sent messages, and notes rows by table; commits."""
    deleted: Counter[str] = Counter()
    with connection.transaction():
        built = [
            one for one in table_columns(connection, "r") if not NOT_BUILT.fullmatch(one.schema)
        ]
        for subject in subjects:
            names = columns[subject.kind]
            found = [
                SubjectColumn(one.schema, one.table, one.name, names[one.name])
                for one in built
                if one.name in names and (one.type in NUMBERS) == (subject.kind != MEMBER)
            ]
            deleted += delete_rows(connection, subject, found, within_text=True)
            sent = delete_messages(connection, subject, published=True)
            deleted += Counter({f"{table}{EMPTIED}sent": rows for table, rows in sent.items()})
        note(deleted)
    step("erase.built_deleted")


def rewrite_tables(
    database: ServingStore,
    touched: Iterable[str],
    subjects: Sequence[Subject],
    columns: IdColumns,
) -> None:
    """Rewrites tables, so that nothing of rows deleted from them is left on the disk.

    Raises psycopg's `LockNotAvailable` where somebody reads one of them for too long.
    """
    with database.connect(autocommit=True) as connection:
        connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
        tables = {f"events.{table}" for table in CHANGING}
        # The others are places of files.
        tables |= {name for one in touched if "." in (name := one.partition(EMPTIED)[0])}
        for name in sorted(tables):
            schema, _, table = name.partition(".")
            identifier = sql.Identifier(schema, table)
            there = connection.execute(
                "select to_regclass(%s)", [identifier.as_string(connection)]
            ).fetchone()
            if there != (None,):
                # Analysed once more: statistics hold values.
                connection.execute(sql.SQL("vacuum (full, analyze) {}").format(identifier))
                step("erase.table_rewritten")
        _end_analyses(connection)
        _forget_statistics(connection, subjects, columns)
        clear_log(connection)


def _end_analyses(connection: psycopg.Connection) -> None:
    """Cancels the server's own analyses: one that began earlier may still write what it saw.

    It does them again later. On your own server they may be hidden.
    """
    row = connection.execute("select clock_timestamp()").fetchone()
    with suppress(psycopg.errors.InsufficientPrivilege):
        for _ in range(CANCEL_TRIES):
            if not connection.execute(CANCEL_ANALYSES, row).fetchall():
                return
            time.sleep(CANCEL_SECONDS)


def _forget_statistics(
    connection: psycopg.Connection, subjects: Sequence[Subject], columns: IdColumns
) -> None:
    """Deletes the statistics that have a subject: those of an empty table outlive an ANALYZE."""
    present = {
        one.name: one.type
        for one in table_columns(connection, "r")
        if (one.schema, one.table) == (CATALOG, STATISTICS)
    }
    found = [one for subject in subjects for one in conditions_of(present, subject, columns)]
    if found:
        delete = sql.SQL("delete from pg_catalog.pg_statistic as line where {}")
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute(delete.format(sql.SQL(" or ").join(found)))


def clear_log(connection: psycopg.Connection) -> None:
    """Rewrites the statistics and the journal, and ends the log before this moment.

    Both are the server's: on your own it may refuse them, as its log is its operator's.
    """
    for statement in (
        "vacuum full pg_catalog.pg_statistic",
        "vacuum full erasure.erasures",
        "checkpoint",
        "select pg_switch_wal()",
        "checkpoint",
    ):
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    step("erase.log_cleared")
