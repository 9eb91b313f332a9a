"""Live rows at a switch: those whose events the new release holds go with it.

Belongs here: the tables of live rows, which have the columns of the release's, and what a switch
takes from them. Does not belong here: computing live rows (`services.live`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql

from orchestration.release import registry
from pollux.runtime import live
from pollux.runtime.live import FOLLOWED
from pollux.runtime.roles import prepare_alone
from pollux.runtime.serving import ServingStore

FIND = "select last_event, marts from release.live where domain = %s and number = %s"
# Whoever reads live rows for longer is not waited for: answers would wait behind the release.
LOCK_TIMEOUT = "10s"
FOLLOWED_NOW = "select from live.followed where domain = %s for update"
# Columns as they are compared: the name, the type, whether a value is needed.
COLUMNS = """
select relname, array_agg((attname, format_type(atttypid, atttypmod), attnotnull)::text
    order by attnum)
from pg_attribute
inner join pg_class on attrelid = pg_class.oid
where relkind = 'r' and attnum > 0 and not attisdropped and relnamespace = to_regnamespace(%s)
group by 1
"""
HELD = "delete from {table} where {key} in (select {key} from {customers} where number <= %s)"
FOLLOW = """
insert into live.followed (domain, release, number) values (%s, %s, %s)
on conflict (domain) do update
set release = excluded.release, number = excluded.number, live_day = null
"""


class LiveRelease(NamedTuple):
    """Which marts of a release are answered live, and the last row of events in them."""

    last_event: int = 0
    marts: Sequence[str] = ()


def enter(connection: psycopg.Connection, domain: str, number: int, release: LiveRelease) -> None:
    """Registers a release that can be answered live; the caller commits."""
    if release.marts:
        connection.execute(
            "insert into release.live (domain, number, last_event, marts) values (%s, %s, %s, %s)",
            [domain, number, release.last_event, [*release.marts]],
        )


def read(connection: psycopg.Connection, domain: str, number: int) -> LiveRelease:
    """What was registered of a release."""
    found = connection.execute(FIND, [domain, number]).fetchone()
    return LiveRelease() if found is None else LiveRelease(*found)


def take_over(
    connection: psycopg.Connection,
    database: ServingStore,
    domain: str,
    number: int,
    release: LiveRelease,
) -> None:
    """Makes live rows follow a release, in the transaction of the switch to it.

    Rows of customers without an event that is newer than the release go. The others stay until
    they are computed on the new release. Where a mart's columns changed all go, and are computed
    again at once.
    """
    # The updater waits here, or the switch for what it writes at this moment.
    # In few round trips, so that the locks are held as briefly as possible.
    with connection.pipeline():
        followed = connection.execute(FOLLOWED_NOW, [domain])
        found = [
            connection.execute(COLUMNS, [schema])
            for schema in (registry.schema_of(domain, number), live.schema_of(domain))
        ]
    if followed.fetchone() is None and not release.marts:
        return
    tables: list[dict[str, object]] = [dict(columns.fetchall()) for columns in found]
    released, there = tables
    there.pop(live.CUSTOMERS, None)
    if there != {mart: released[mart] for mart in release.marts}:
        _remake(connection, database, domain, number, release.marts)
    if not release.marts:
        connection.execute("delete from live.followed where domain = %s", [domain])
        return
    schema = live.schema_of(domain)
    with connection.pipeline():
        for table in (*release.marts, live.CUSTOMERS):
            delete = sql.SQL(HELD).format(
                table=sql.Identifier(schema, table),
                key=sql.Identifier(FOLLOWED[domain].key),
                customers=sql.Identifier(schema, live.CUSTOMERS),
            )
            connection.execute(delete, [release.last_event])
        connection.execute(FOLLOW, [domain, number, release.last_event])


def _remake(
    connection: psycopg.Connection,
    database: ServingStore,
    domain: str,
    number: int,
    marts: Sequence[str],
) -> None:
    prepare_alone(connection)
    connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    schema = live.schema_of(domain)
    name = sql.Identifier(schema)
    connection.execute(sql.SQL("create schema if not exists {}").format(name))
    for table, _ in connection.execute(COLUMNS, [schema]).fetchall():
        connection.execute(sql.SQL("drop table {}").format(sql.Identifier(schema, table)))
    for mart in marts:
        # Its indexes, too: each mart has one that begins with the customer, who is a subject.
        create = "create table {} (like {} including comments including indexes)"
        released = sql.Identifier(registry.schema_of(domain, number), mart)
        connection.execute(sql.SQL(create).format(sql.Identifier(schema, mart), released))
    if marts:
        key = sql.Identifier(FOLLOWED[domain].key)
        connection.execute(sql.SQL(live.CUSTOMERS_TABLE).format(schema=name, key=key))
    live.grant_rights(connection, database.reader_role, database.events_role)
