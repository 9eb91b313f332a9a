"""Takes out of the serving database the bytes that deleted rows leave behind.

Belongs here: builds of engine postgres, messages that were sent, rewriting tables. Does not belong
here: the rows that services read, which are deleted first (`pollux.runtime.erasures`).

PostgreSQL leaves a deleted row where it was until the table is rewritten, values in its statistics,
and all that was written in its log. The embedded server's log goes with a checkpoint
(`wal_recycle = off`); that of your own server, and its backups, are its operator's.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

import psycopg
from psycopg import sql

from orchestration.erase.columns import IdColumns
from pollux.runtime import erasures
from pollux.runtime.serving import ServingStore
from pollux.runtime.steps import step
from pollux.subjects import MEMBER, Subject, pattern_of

# Rows of these change or go while the service works, so old ones may be left in them.
CHANGING = ("contexts", "members", "promo_codes", "outbox", "dead_letter")
# Tables that engine postgres builds in, and its copy of the landing zone.
BUILT = """
select nspname, relname, attname, format_type(atttypid, null)
from pg_attribute
inner join pg_class on attrelid = pg_class.oid
inner join pg_namespace on relnamespace = pg_namespace.oid
where
    relkind = 'r' and attnum > 0 and not attisdropped
    and nspname !~ '^(pg_|information_schema$|events$|erasure$|release$)'
    and nspname !~ '__r[0-9]+$'
    and attname = any(%s)
order by 1, 2, attnum
"""
NUMBERS = ("bigint", "integer")
# A table that a reader holds for longer is tried again with the next erasure that is finished.
LOCK_TIMEOUT = "5s"


def erase_built(
    connection: psycopg.Connection, subjects: Sequence[Subject], columns: IdColumns
) -> dict[str, int]:
    """Deletes subjects from builds and sent messages; returns rows by table; commits."""
    deleted: dict[str, int] = {}
    with connection.transaction():
        for subject in subjects:
            names = columns[subject.kind]
            for schema, table, column, type_ in connection.execute(BUILT, [[*names]]).fetchall():
                if (type_ in NUMBERS) == (subject.kind == MEMBER):
                    continue
                _add(
                    deleted,
                    f"{schema}.{table}",
                    _delete(
                        connection, sql.Identifier(schema, table), column, subject, names[column]
                    ),
                )
            for name, rows in erasures.delete_messages(connection, subject, published=True).items():
                _add(deleted, name, rows)
    step("erase.built_deleted")
    return deleted


def _delete(
    connection: psycopg.Connection,
    table: sql.Identifier,
    column: str,
    subject: Subject,
    is_own: bool,
) -> int:
    is_named = "lower({column}) ~ {value}" if subject.kind == MEMBER else "{column} = {value}"
    value = pattern_of(subject, ()) if subject.kind == MEMBER else subject.value
    statement = (
        "delete from {table} where " if is_own else "update {table} set {column} = null where "
    )
    return connection.execute(
        sql.SQL(statement + is_named).format(
            table=table, column=sql.Identifier(column), value=sql.Literal(value)
        )
    ).rowcount


def rewrite_tables(database: ServingStore, touched: Iterable[str]) -> None:
    """Rewrites tables, so that nothing of rows deleted from them is left on the disk.

    Raises psycopg's `LockNotAvailable` where somebody reads one of them for too long.
    """
    with database.connect(autocommit=True) as connection:
        connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
        changing = {f"events.{table}" for table in CHANGING}
        for name in sorted(changing | {one.partition(erasures.EMPTIED)[0] for one in touched}):
            schema, _, table = name.partition(".")
            identifier = sql.Identifier(schema, table)
            there = connection.execute(
                "select to_regclass(%s)", [identifier.as_string(connection)]
            ).fetchone()
            if there != (None,):
                # Analysed once more: statistics hold values.
                connection.execute(sql.SQL("vacuum (full, analyze) {}").format(identifier))
                step("erase.table_rewritten")
        clear_log(connection)


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


def _add(deleted: dict[str, int], name: str, rows: int) -> None:
    if rows:
        deleted[name] = deleted.get(name, 0) + rows
