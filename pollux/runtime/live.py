"""Live rows in the serving database: `live.followed`, and schema `<domain>__live`.

That has a table for each mart that is answered live, and `live_customers`: who has rows in them.

Belongs here: what all of that is called, and the rights on it.
Does not belong here: which rows a new release holds (`orchestration.release.live`), and computing
them (`services.live`).
"""

from typing import NamedTuple

import psycopg
from psycopg import sql

SCHEMA = "live"
CHANNEL = "live"
# Told of every purchase that is written.
PURCHASES = "purchases"

# `followed` has the domains whose release can be answered live. `number` is the last row of events
# that is in the release or in live rows, `live_day` the last day of a purchase among them.
TABLES = """
create schema if not exists live;
create sequence if not exists live.revisions;
create table if not exists live.followed (
    domain text primary key,
    release integer not null,
    number bigint not null,
    live_day integer
);
"""
# Whose rows are newer than the release: `number` is the last row of events in them. They were
# computed on `release` and by `live_day`, at revision `revision`, which only grows.
CUSTOMERS = "live_customers"
CUSTOMERS_TABLE = """
create table {schema}.live_customers (
    {key} bigint primary key,
    number bigint not null,
    release integer not null,
    live_day integer,
    revision bigint not null,
    computed_at timestamptz not null default clock_timestamp()
);
create index on {schema}.live_customers (revision);
create index on {schema}.live_customers (release);
"""
# Households are told of by their segment: the event service's role reads that of a release, too.
SEGMENTS = "household_segments"
SEGMENT_COLUMNS = ("household_key", "segment", "why")
SEGMENTED = f"""
select nspname
from live.followed
inner join pg_namespace on nspname = 'household__r' || release
inner join pg_class on relnamespace = pg_namespace.oid and relname = '{SEGMENTS}'
where domain = 'household'
"""
UNGRANTED = f"""
select nspname
from pg_class
inner join pg_namespace on relnamespace = pg_namespace.oid
where
    relname = '{SEGMENTS}' and nspname ~ '^household__r[0-9]+$'
    and not has_column_privilege(%s::regrole, pg_class.oid, '{SEGMENT_COLUMNS[-1]}', 'select')
"""
READABLE = "select nspname from pg_namespace where nspname = 'live' or nspname ~ '__live$'"
IS_ROLE = "select to_regrole(%s) is not null"


class Followed(NamedTuple):
    """What a domain is followed by: a table of `events`, and the column of its customers."""

    table: str
    key: str
    # Of `pollux.subjects`.
    kind: str
    # The column of what a later event may give to another customer.
    order: str | None = None


FOLLOWED = {
    "household": Followed("basket_lines", "household_key", "household"),
    "store": Followed("order_lines", "customer_id", "customer", "order_id"),
}


def schema_of(domain: str) -> str:
    """The schema of a domain's live rows."""
    return f"{domain}__live"


def prepare(connection: psycopg.Connection) -> None:
    """Makes schema `live` where it is missing, within the caller's transaction."""
    if not is_prepared(connection):
        connection.execute("select pg_advisory_xact_lock(hashtext('pollux live'))")
        connection.execute(TABLES)


def is_prepared(connection: psycopg.Connection) -> bool:
    """Whether schema `live` is there."""
    return connection.execute("select to_regclass('live.followed')").fetchone() != (None,)


def grant_rights(connection: psycopg.Connection, reader_role: str, events_role: str) -> None:
    """Lets services read live rows, and the event service's role write them, where roles are."""
    schemas = [name for (name,) in connection.execute(READABLE).fetchall()]
    for role, rights in (
        (reader_role, "select"),
        (events_role, "select, insert, update, delete"),
    ):
        name = sql.Identifier(role)
        if connection.execute(IS_ROLE, [name.as_string()]).fetchone() != (True,):
            continue
        for schema in map(sql.Identifier, schemas):
            grant = f"grant usage on schema {{0}} to {{1}}; grant {rights} on all tables in "
            grant += "schema {0} to {1}"
            connection.execute(sql.SQL(grant).format(schema, name))
    grant_released(connection, events_role)
    name = sql.Identifier(events_role)
    if connection.execute(IS_ROLE, [name.as_string()]).fetchone() == (True,):
        grant = "grant usage on sequence live.revisions to {}"
        connection.execute(sql.SQL(grant).format(name))


def grant_released(connection: psycopg.Connection, events_role: str) -> None:
    """Lets the event service's role read the segments of each release that it cannot read yet.

    The caller holds the lock of `roles.prepare_alone`, or made the only such release.
    """
    name = sql.Identifier(events_role)
    if connection.execute(IS_ROLE, [name.as_string()]).fetchone() != (True,):
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, SEGMENT_COLUMNS))
    for (schema,) in connection.execute(UNGRANTED, [name.as_string()]).fetchall():
        grant = "grant usage on schema {0} to {1}; grant select ({2}) on {3} to {1}"
        table = sql.Identifier(schema, SEGMENTS)
        connection.execute(sql.SQL(grant).format(sql.Identifier(schema), name, columns, table))
