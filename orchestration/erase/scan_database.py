"""Looks for subjects in every table of the serving database, whosever it is.

Belongs here: which columns are read in which way. Does not belong here: what follows from that
(`scan`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from orchestration.erase.columns import IdColumns
from pollux.runtime.subject_rows import NUMBERS, TEXTS, table_columns
from pollux.subject_patterns import message_pattern, text_pattern
from pollux.subjects import MEMBER, Subject

DOCUMENTS = ("json", "jsonb")
# Of PostgreSQL's own tables, statistics have values of others. The journal names its subjects.
LEFT_OUT = re.compile(r"pg_toast.*|information_schema|erasure")
CATALOG, STATISTICS = "pg_catalog", "pg_statistic"
# Of numbers, only these are ids: other documents number coupons.
MESSAGES = ("payload", "opening")


def scan_database(
    connection: psycopg.Connection, subjects: Sequence[Subject], columns: IdColumns
) -> Iterator[tuple[str, int]]:
    """Every table that is looked through, and in how many rows of it a subject is."""
    tables: dict[tuple[str, str], dict[str, str]] = {}
    for one in table_columns(connection, "r", "m"):
        is_of_server = one.schema == CATALOG and one.table != STATISTICS
        if not is_of_server and not LEFT_OUT.fullmatch(one.schema):
            tables.setdefault((one.schema, one.table), {})[one.name] = one.type
    for (schema, table), present in tables.items():
        conditions = [
            condition
            for subject in subjects
            for condition in conditions_of(present, subject, columns)
        ]
        rows = 0
        if conditions:
            count = sql.SQL("select count(*) from {} as line where {}").format(
                sql.Identifier(schema, table), sql.SQL(" or ").join(conditions)
            )
            ((rows,),) = connection.execute(count).fetchall()
        yield f"{schema}.{table}", rows


def conditions_of(
    present: Mapping[str, str], subject: Subject, columns: IdColumns
) -> Iterator[sql.Composable]:
    """Conditions of a row of `line` that has the subject; `present` are its columns' types."""
    names = columns[subject.kind]
    pattern = sql.Literal(text_pattern(subject, names))
    for column, type_ in present.items():
        name = sql.SQL("line.{}").format(sql.Identifier(column))
        if type_ == "bytea" and (subject.kind == MEMBER or column in MESSAGES):
            # Their bytes are matched as PostgreSQL escapes them.
            escaped = sql.Literal(message_pattern(subject))
            yield sql.SQL("encode({}, 'escape') ~ {}").format(name, escaped)
        elif subject.kind == MEMBER:
            if type_ in (*TEXTS, *DOCUMENTS, "anyarray", "text[]"):
                yield sql.SQL("{}::text ~ {}").format(name, pattern)
        elif type_ in NUMBERS and column in names:
            yield sql.SQL("{} = {}").format(name, sql.Literal(subject.value))
        elif type_ in DOCUMENTS and column != "contract":
            yield sql.SQL("{}::text ~ {}").format(name, pattern)
