"""Rows of subjects in the serving database: where they are, and deleting them.

Belongs here: tables and columns that hold an id, messages that name somebody. Does not belong here:
when rows are deleted, and the journal of that (`erasures`).
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import psycopg
from psycopg import sql

from pollux.subject_patterns import message_pattern, text_pattern
from pollux.subjects import MEMBER, Subject

# Between table and column, where a reference was emptied and the row is still there.
EMPTIED = ": "
# Names of the columns that hold the id of a subject where nothing was released yet.
KEYS = {
    "household": "household_key",
    "customer": "customer_id",
    "member": "email",
    "account": "account_number",
}
# In which columns released marts hold the id, and whether it is the row's own or that of somebody
# whom the row refers to: in every mart that has it, another column holds the row's own before.
COLUMNS = """
select name, bool_or(place = first)
from (
    select
        value ->> 'name' as name,
        place,
        min(place) over (partition by domain, number, mart) as first
    from
        release.contracts,
        jsonb_array_elements(contract -> 'columns') with ordinality as listed (value, place)
    where value ->> 'identifies' = %s
) as found
group by 1
"""
# Tables and materialized views, by kind.
TABLES = """
select nspname, relname, attname, format_type(atttypid, null)
from pg_attribute
inner join pg_class on attrelid = pg_class.oid
inner join pg_namespace on relnamespace = pg_namespace.oid
where relkind = any(%s) and attnum > 0 and not attisdropped
order by 1, 2, attnum
"""
NUMBERS, TEXTS = ("bigint", "integer"), ("text", "character varying")
# Of releases and of live rows.
RELEASED = re.compile(r"[a-z_]+__(r[0-9]+|live)")
EVENTS = "events"

# Messages that name a subject, by table of the event service. What could not be read may be of any
# form: its bytes are matched as PostgreSQL escapes them.
OF_CUSTOMER = {
    "outbox": """answer_id in (
        select answer_id from events.decisions where customer_id = %(value)s
    )""",
    "dead_letter": "encode(payload, 'escape') ~ %(pattern)s",
}
OF_HOUSEHOLD = {
    "outbox": """answer_id in (
        select answer_id from events.segment_changes where household_key = %(value)s
    )""",
    "dead_letter": OF_CUSTOMER["dead_letter"],
}
OF_MEMBER = {
    "outbox": "encode(opening, 'escape') ~ %(pattern)s",
    "dead_letter": "encode(payload, 'escape') ~ %(pattern)s",
}

# What others' events said of orders that a later event gave to a customer.
GIVEN_ORDERS = """
with theirs as (
    select order_id, max(number) as number
    from events.order_lines where customer_id = %(value)s group by 1
),
gone as (
    delete from events.order_lines as lines using theirs
    where
        lines.order_id = theirs.order_id and lines.number <= theirs.number
        and lines.customer_id <> %(value)s
    returning theirs.order_id, theirs.number
),
noted as (
    insert into erasure.orders (order_id, number) select distinct * from gone
    on conflict (order_id) do update set number = excluded.number
)
select count(*) from gone
"""


class TableColumn(NamedTuple):
    """A column of a table, with its type as PostgreSQL writes it."""

    schema: str
    table: str
    name: str
    type: str


class SubjectColumn(NamedTuple):
    """A column that may hold a subject's id, and whether that is the row's own."""

    schema: str
    table: str
    name: str
    is_own: bool

    @property
    def place(self) -> str:
        """What deleted rows are counted under."""
        return f"{self.schema}.{self.table}" + ("" if self.is_own else EMPTIED + self.name)


def id_columns(connection: psycopg.Connection, kind: str) -> dict[str, bool]:
    """Columns that hold a subject's id, by name; whether it is the row's own, or refers to it."""
    columns = {KEYS[kind]: True}
    if connection.execute("select to_regclass('release.contracts')").fetchone() != (None,):
        columns |= dict(connection.execute(COLUMNS, [kind]).fetchall())
    return columns


def table_columns(connection: psycopg.Connection, *kinds: str) -> list[TableColumn]:
    """The columns of all tables of these kinds (`r`, `m`), in the order of the tables."""
    return [TableColumn(*row) for row in connection.execute(TABLES, [[*kinds]]).fetchall()]


def subject_columns(connection: psycopg.Connection, kind: str) -> list[SubjectColumn]:
    """Where the tables that services read hold the id of a subject of a kind."""
    columns = id_columns(connection, kind)
    types = TEXTS if kind == MEMBER else NUMBERS
    return [
        SubjectColumn(one.schema, one.table, one.name, columns[one.name])
        for one in table_columns(connection, "r")
        if one.name in columns
        and one.type in types
        and (one.schema == EVENTS or RELEASED.fullmatch(one.schema))
    ]


def delete_rows(
    connection: psycopg.Connection,
    subject: Subject,
    found: Iterable[SubjectColumn],
    *,
    within_text: bool = False,
) -> Counter[str]:
    """Deletes the rows that are the subject's, and empties what refers to it; rows by place.

    `within_text` also finds a member in a line of text that names others, which reads every row.
    """
    by_pattern = within_text and subject.kind == MEMBER
    value = text_pattern(subject) if by_pattern else subject.value
    names = "{column} ~ %s" if by_pattern else "{column} = %s"
    deleted: Counter[str] = Counter()
    for one in found:
        statement = "delete from {table}" if one.is_own else "update {table} set {column} = null"
        done = connection.execute(
            sql.SQL(f"{statement} where {names}").format(
                table=sql.Identifier(one.schema, one.table), column=sql.Identifier(one.name)
            ),
            [value],
        )
        deleted[one.place] += done.rowcount
    return +deleted


def delete_given_orders(connection: psycopg.Connection, subject: Subject) -> Counter[str]:
    """Deletes others' events of orders that a later event gave to the subject.

    Without the later one such an order would be the other's again. Notes it in `erasure.orders`,
    since the earlier events may have landed.
    """
    there = connection.execute("select to_regclass('events.order_lines')").fetchone()
    if subject.kind != "customer" or there == (None,):
        return Counter()
    ((rows,),) = connection.execute(GIVEN_ORDERS, {"value": subject.value}).fetchall()
    return +Counter({"events.order_lines": rows})


def delete_messages(
    connection: psycopg.Connection, subject: Subject, *, published: bool = False
) -> Counter[str]:
    """Deletes what waits to be sent about a subject, and what could not be read and names it.

    Of a member, what is `published` already only where asked for: finding it reads all of them.
    """
    if connection.execute("select to_regclass('events.outbox')").fetchone() == (None,):
        return Counter()
    deleted: Counter[str] = Counter()
    is_member = subject.kind == MEMBER
    statements = {
        "customer": OF_CUSTOMER,
        "household": OF_HOUSEHOLD,
        "member": OF_MEMBER,
    }.get(subject.kind, {})
    for table, names in statements.items():
        waits = table == "outbox" and is_member and not published
        condition = f"published_at is null and ({names})" if waits else names
        done = connection.execute(
            f"delete from events.{table} where {condition}",
            {"value": subject.value, "pattern": message_pattern(subject)},
        )
        deleted[f"events.{table}"] += done.rowcount
    return +deleted
