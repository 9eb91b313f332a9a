"""The views of a domain's current release, for people and BI tools.

Belongs here: replacing the views in the schema named after the domain. Does not belong here: the
tables that they show (`tables`), and the switch (`publish`).

They are replaced after the switch, not as part of it, so that a view in use delays no release.
"""

import time

import psycopg
from psycopg import sql

from orchestration.release.registry import number_of, schema_of, schemas_of

TRIES = 3
LOCK_TIMEOUT = "2s"

# Pollux's own views show the table of their name in a release; all others are left alone.
OURS = """
select distinct view.relname, pg_namespace.nspname
from pg_class as view
inner join pg_rewrite on pg_rewrite.ev_class = view.oid
inner join pg_depend
    on pg_depend.classid = 'pg_rewrite'::regclass
    and pg_depend.objid = pg_rewrite.oid
    and pg_depend.refclassid = 'pg_class'::regclass
inner join pg_class as shown
    on pg_depend.refobjid = shown.oid
    and shown.relname = view.relname
inner join pg_namespace on shown.relnamespace = pg_namespace.oid
where
    view.relnamespace = (select oid from pg_namespace where nspname = %(domain)s)
    and view.relkind = 'v'
    and pg_namespace.nspname ~ %(releases)s
"""

TABLES = """
select relname, obj_description(oid, 'pg_class')
from pg_class
where relnamespace = %s::regnamespace and relkind = 'r'
"""
COLUMNS = """
select pg_class.relname, pg_attribute.attname, pg_description.description
from pg_class
inner join pg_attribute on pg_attribute.attrelid = pg_class.oid
inner join pg_description
    on pg_description.classoid = 'pg_class'::regclass
    and pg_description.objoid = pg_class.oid
    and pg_description.objsubid = pg_attribute.attnum
where
    pg_class.relnamespace = %s::regnamespace
    and pg_class.relkind = 'r'
    and pg_attribute.attnum > 0
"""


def remake_views(
    connection: psycopg.Connection, domain: str, number: int, reader_role: str
) -> None:
    """Points the views in schema `domain` at a release.

    Raises `psycopg.Error` if they are in use for too long, or something depends on them.
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
    statements = [
        sql.SQL("drop view {}").format(sql.Identifier(domain, view))
        for view, _ in _views(connection, domain)
    ]
    release = schema_of(domain, number)
    for table, comment in connection.execute(TABLES, [release]).fetchall():
        view = sql.Identifier(domain, table)
        create = sql.SQL("create view {} as select * from {}")
        statements += [
            create.format(view, sql.Identifier(release, table)),
            sql.SQL("comment on view {} is {}").format(view, sql.Literal(comment)),
            sql.SQL("grant select on {} to {}").format(view, reader),
        ]
    for table, column, comment in connection.execute(COLUMNS, [release]).fetchall():
        name = sql.Identifier(domain, table, column)
        statements.append(sql.SQL("comment on column {} is {}").format(name, sql.Literal(comment)))
    statements.append(sql.SQL("grant usage on schema {} to {}").format(people, reader))
    # In one round trip, so that the views are locked as briefly as possible.
    connection.execute(sql.SQL("; ").join(statements))
    connection.commit()


def shown_releases(connection: psycopg.Connection, domain: str) -> set[int]:
    """The numbers of the releases that the views of a domain show: one, unless they differ."""
    return {number_of(schema) for _, schema in _views(connection, domain)}


def _views(connection: psycopg.Connection, domain: str) -> list[tuple[str, str]]:
    """Pollux's own views of a domain, each with the schema of the release that it shows."""
    return connection.execute(OURS, {"domain": domain, "releases": schemas_of(domain)}).fetchall()
