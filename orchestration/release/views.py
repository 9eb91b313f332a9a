"""The views of a domain's current release, for people and BI tools.

Belongs here: replacing the views in the schema named after the domain. Does not belong here: the
tables that they show (`tables`), and the switch (`store`).

They follow the switch, they are not the switch: a view that cannot be replaced because somebody
reads it must hold up nobody.
"""

import time

import psycopg
from psycopg import sql

from orchestration.release.registry import schema_of

TRIES = 3
LOCK_TIMEOUT = "2s"
# On a view of ours; a view that somebody made beside them is left alone.
MARK = "Pollux: the current release"


def remake_views(
    connection: psycopg.Connection, domain: str, number: int, reader_role: str
) -> None:
    """Points the views in schema `domain` at a release.

    Raises `psycopg.Error` where they are in use for long, or something hangs on them.
    """
    for attempt in range(1, TRIES + 1):
        try:
            _remake(connection, domain, number, reader_role)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            connection.rollback()
            if attempt == TRIES:
                raise
            time.sleep(attempt)
        else:
            return


def _remake(connection: psycopg.Connection, domain: str, number: int, reader_role: str) -> None:
    people = sql.Identifier(domain)
    reader = sql.Identifier(reader_role)
    connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    connection.execute(sql.SQL("create schema if not exists {}").format(people))
    old = connection.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace and relkind = 'v' "
        "and obj_description(oid, 'pg_class') = %s",
        [people.as_string(connection), MARK],
    )
    for (view,) in old.fetchall():
        connection.execute(sql.SQL("drop view {}").format(sql.Identifier(domain, view)))
    release = schema_of(domain, number)
    new = connection.execute("select tablename from pg_tables where schemaname = %s", [release])
    for (table,) in new.fetchall():
        view = sql.Identifier(domain, table)
        create = sql.SQL("create view {} as select * from {}")
        connection.execute(create.format(view, sql.Identifier(release, table)))
        connection.execute(sql.SQL("comment on view {} is {}").format(view, MARK))
        connection.execute(sql.SQL("grant select on {} to {}").format(view, reader))
    connection.execute(sql.SQL("grant usage on schema {} to {}").format(people, reader))
    connection.commit()
