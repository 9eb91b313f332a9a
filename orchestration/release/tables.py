"""Writes the tables of a release into its schema, with keys and indexes, and checks them there.

Belongs here: schema, rights, tables, comments, keys and indexes of a release. Does not belong here:
their rows (`marts`, `exports`), the switch (`registry`), and the order of the steps (`publish`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import psycopg
from psycopg import sql

from orchestration.release.errors import ReleaseError
from orchestration.transform.graph import ServedTable
from pollux.contracts import Contract
from pollux.masking import told

STATISTICS_TARGET = 30


class Rows(Protocol):
    """What fills the tables."""

    def copy(self, table: ServedTable, connection: psycopg.Connection, schema: str) -> int:
        """Fills a table that this transaction made; returns its rows."""


def write_tables(
    connection: psycopg.Connection,
    schema: str,
    tables: Sequence[ServedTable],
    rows: Rows,
    counts: Mapping[str, int],
    reader_role: str,
    progress: Callable[[str], None],
) -> None:
    """Writes and checks all tables in one transaction; `counts` are the rows of each, by name.

    Raises `ReleaseError` if a table does not hold the rows of its mart, or its key has duplicates
    or nulls; the schema is then not there.
    """
    # It waits for the engine to write a mart, however long a server lets transactions be idle.
    connection.execute("set local idle_in_transaction_session_timeout = 0")
    connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    reader = sql.Identifier(reader_role)
    grant = sql.SQL("grant usage on schema {} to {}")
    connection.execute(grant.format(sql.Identifier(schema), reader))
    defaults = sql.SQL("alter default privileges in schema {} grant select on tables to {}")
    connection.execute(defaults.format(sql.Identifier(schema), reader))
    # A release is read by keys and indexes: the planner needs no finer statistics.
    connection.execute(f"set local default_statistics_target = {STATISTICS_TARGET}")
    for table in tables:
        progress(table.name)
        _create(connection, schema, table)
        copied = rows.copy(table, connection, schema)
        if copied != counts[table.name]:
            raise ReleaseError(
                f"{table.name} has {counts[table.name]} rows where it was built and {copied} in "
                "the release; nothing was switched."
            )
        _add_key_and_indexes(connection, schema, table)
        connection.execute(sql.SQL("analyze {}").format(sql.Identifier(schema, table.name)))


def _create(connection: psycopg.Connection, schema: str, table: ServedTable) -> None:
    columns = [
        # A contract's type names are the project's own, checked by both engines.
        sql.SQL("{} {} {}").format(
            sql.Identifier(column.name),
            sql.SQL(column.data_type),
            sql.SQL("not null" if column.is_required else ""),
        )
        for column in table.columns
    ]
    create = sql.SQL("create table {} ({})")
    name = sql.Identifier(schema, table.name)
    described = [
        sql.SQL("comment on column {} is {}").format(
            sql.Identifier(schema, table.name, column.name), sql.Literal(column.description)
        )
        for column in table.columns
    ]
    statements = [
        create.format(name, sql.SQL(", ").join(columns)),
        sql.SQL("comment on table {} is {}").format(name, sql.Literal(table.description)),
        *described,
    ]
    # In one round trip.
    connection.execute(sql.SQL("; ").join(statements))


def _add_key_and_indexes(connection: psycopg.Connection, schema: str, table: ServedTable) -> None:
    name = sql.Identifier(schema, table.name)
    try:
        add_key = sql.SQL("alter table {} add primary key ({})")
        connection.execute(add_key.format(name, _names(table.key)))
    except (psycopg.errors.UniqueViolation, psycopg.errors.NotNullViolation) as error:
        raise ReleaseError(
            f"The key of {table.name} ({', '.join(table.key)}) has duplicates or nulls: "
            f"{told(error)}; nothing was switched."
        ) from error
    for index in (*table.indexes, *indexes_of_subjects(table)):
        create = sql.SQL("create index on {} ({})")
        connection.execute(create.format(name, _names(index)))


def indexes_of_subjects(table: Contract) -> list[list[str]]:
    """Indexes by which an erasure finds somebody: of ids with which no key or other one begins."""
    begun = {columns[0] for columns in (table.key, *table.indexes)}
    ids = [column.name for column in table.columns if column.identifies]
    return [[name] for name in ids if name not in begun]


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)
