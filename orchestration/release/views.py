"""The views of a domain's current release, for people and BI tools.

They follow the switch, they are not the switch: a view that cannot be replaced because somebody
reads it must hold up nobody.
"""

import time

import psycopg
from psycopg import sql

from orchestration.release.store import schema_of

TRIES = 3
LOCK_TIMEOUT = "2s"


def remake_views(
    connection: psycopg.Connection, domain: str, number: int, reader_role: str
) -> bool:
    """Points the views in schema `domain` at a release; tells whether it could."""
    for attempt in range(TRIES):
        try:
            _remake(connection, domain, number, reader_role)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            connection.rollback()
            time.sleep(attempt + 1)
        else:
            return True
    return False


def _remake(connection: psycopg.Connection, domain: str, number: int, reader_role: str) -> None:
    people = sql.Identifier(domain)
    reader = sql.Identifier(reader_role)
    connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    connection.execute(sql.SQL("create schema if not exists {}").format(people))
    old = connection.execute("select viewname from pg_views where schemaname = %s", [domain])
    for (view,) in old.fetchall():
        connection.execute(sql.SQL("drop view {}").format(sql.Identifier(domain, view)))
    release = schema_of(domain, number)
    new = connection.execute("select tablename from pg_tables where schemaname = %s", [release])
    for (table,) in new.fetchall():
        create = sql.SQL("create view {} as select * from {}")
        connection.execute(
            create.format(sql.Identifier(domain, table), sql.Identifier(release, table))
        )
    connection.execute(sql.SQL("grant usage on schema {} to {}").format(people, reader))
    connection.execute(
        sql.SQL("grant select on all tables in schema {} to {}").format(people, reader)
    )
    connection.commit()
