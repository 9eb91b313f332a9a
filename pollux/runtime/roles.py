"""The roles that services use in the serving database, and what PostgreSQL leaves open to them.

Belongs here: making them, their limits, closing what every role may do. Does not belong here:
rights on tables, which whoever makes the tables gives, and connections (`serving`).

What every role may do is closed in the embedded server, which is ours alone. On your own, others
may need it: docs/settings.md has the statements.
"""

import psycopg
from psycopg import sql

from pollux.runtime.serving import ServingStore

# From then on, whoever makes a role is its member, but may not take it on.
SET_IS_APART = 160_000
# Locks, ends of sessions of the same role, records in the log of changes, large objects.
OPEN_FUNCTIONS = r"""
select oid::regprocedure::text
from pg_proc
where
    pronamespace = 'pg_catalog'::regnamespace
    and proname ~ '^(pg_(try_)?advisory_.+|pg_(terminate|cancel)_backend|pg_logical_emit_message'
        '|lo_.+|lowrite)$'
    and has_function_privilege('public', oid, 'execute')
"""
HAS_TEMPORARY = "select has_database_privilege('public', current_database(), 'temporary')"
# Workers' numbers, the leader, the cool-down, webhooks; and waiting for the disk.
FUNCTIONS_OF_EVENTS = """
pg_try_advisory_lock(integer, integer), pg_advisory_unlock(integer, integer),
pg_advisory_xact_lock(integer, integer), pg_logical_emit_message(boolean, text, text, boolean)
"""
# What only a superuser may raise: it leaves the owner and the event service their connections.
MOST_CONNECTIONS = 100
MOST_ON_DISK = "4GB"
SETTINGS_OF_ROLE = """
select rolconnlimit, datname, setconfig
from pg_roles
left join pg_db_role_setting on setrole = pg_roles.oid
left join pg_database on setdatabase = pg_database.oid
where rolname = %s
"""


def prepare_alone(connection: psycopg.Connection) -> None:
    """Lets one at a time make roles and give rights, until its transaction ends.

    PostgreSQL refuses the second of two that change an object's rights at once.
    """
    connection.execute("select pg_advisory_xact_lock(hashtext('pollux prepare'))")


def make_reader(connection: psycopg.Connection, serving_store: ServingStore) -> None:
    """Makes the role that services read with, if it is missing, within a transaction.

    Holds a lock until the transaction ends, so that two do not make it at once. Raises psycopg's
    `InsufficientPrivilege` where the owner may not.
    """
    _make(connection, serving_store.reader_role, serving_store.reader_set_role)
    if serving_store.embedded is not None:
        _close_to_everybody(connection)
        _limit(connection, serving_store.reader_role)


def make_events_role(connection: psycopg.Connection, serving_store: ServingStore) -> None:
    """Makes the role that the event service writes with, as `make_reader` does."""
    _make(connection, serving_store.events_role, serving_store.events_set_role)
    if serving_store.embedded is not None:
        _close_to_everybody(connection)
        grant = f"grant execute on function {FUNCTIONS_OF_EVENTS} to {{}}"
        connection.execute(sql.SQL(grant).format(sql.Identifier(serving_store.events_role)))


def _make(connection: psycopg.Connection, role: str, set_role: str | None) -> None:
    prepare_alone(connection)
    known = connection.execute("select 1 from pg_roles where rolname = %s", [role])
    if known.fetchone() is None:
        # A role that another one switches to needs no login.
        login = "login" if set_role is None else "nologin"
        connection.execute(sql.SQL(f"create role {{}} {login}").format(sql.Identifier(role)))
    if set_role is not None:
        kind = "set" if connection.info.server_version >= SET_IS_APART else "member"
        may = connection.execute("select pg_has_role(%s, %s)", [role, kind]).fetchone()
        if may != (True,):
            grant = sql.SQL("grant {} to current_user")
            connection.execute(grant.format(sql.Identifier(role)))


def _close_to_everybody(connection: psycopg.Connection) -> None:
    open_ones = ", ".join(name for (name,) in connection.execute(OPEN_FUNCTIONS).fetchall())
    if open_ones:
        connection.execute(f"revoke execute on function {open_ones} from public".encode())
    if connection.execute(HAS_TEMPORARY).fetchone() == (True,):
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("revoke temporary on database {} from public").format(database))


def _limit(connection: psycopg.Connection, role: str) -> None:
    """Sets limits that the role cannot lift, and undoes what it set for its later sessions."""
    found = connection.execute(SETTINGS_OF_ROLE, [role]).fetchall()
    if found == [(MOST_CONNECTIONS, None, [f"temp_file_limit={MOST_ON_DISK}"])]:
        return
    name = sql.Identifier(role)
    for _, database, _ in found:
        if database is not None:
            reset = sql.SQL("alter role {} in database {} reset all")
            connection.execute(reset.format(name, sql.Identifier(database)))
    for change in (
        "reset all",
        f"set temp_file_limit = '{MOST_ON_DISK}'",
        f"connection limit {MOST_CONNECTIONS}",
    ):
        connection.execute(sql.SQL(f"alter role {{}} {change}").format(name))
