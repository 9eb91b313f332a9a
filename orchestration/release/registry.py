"""The registry of releases in the serving database: schema `release`, and the reader role.

Belongs here: what release, rollback and status read and write about releases. Does not belong
here: the tables of a release (`tables`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from orchestration.release.errors import ReleaseError
from pollux.contracts import Contract, contract_json
from pollux.masking import told
from pollux.quality import Quality
from pollux.runtime import live, webhooks
from pollux.runtime.roles import make_reader
from pollux.runtime.serving import ServingStore

KEPT_RELEASES = 3
CHANNEL = "release"
LOCK_TIMEOUT = "10s"

TABLES = """
create schema if not exists release;
create table if not exists release.releases (
    domain text not null,
    number integer not null,
    released_at timestamptz not null default now(),
    engine text not null,
    dbt_invocation text not null,
    git_commit text,
    rows bigint not null,
    seconds double precision not null,
    primary key (domain, number)
);
create table if not exists release.current (
    domain text primary key,
    number integer not null,
    switched_at timestamptz not null default now(),
    foreign key (domain, number) references release.releases (domain, number)
);
create table if not exists release.contracts (
    domain text not null,
    number integer not null,
    mart text not null,
    contract jsonb not null,
    primary key (domain, number, mart),
    foreign key (domain, number) references release.releases (domain, number)
);
create table if not exists release.quality (
    domain text not null,
    number integer not null,
    quality jsonb not null,
    primary key (domain, number),
    foreign key (domain, number) references release.releases (domain, number)
);
create table if not exists release.row_counts (
    domain text not null,
    number integer not null,
    mart text not null,
    rows bigint not null,
    primary key (domain, number, mart),
    foreign key (domain, number) references release.releases (domain, number)
);
create table if not exists release.live (
    domain text not null,
    number integer not null,
    last_event bigint not null,
    marts text[] not null,
    primary key (domain, number),
    foreign key (domain, number) references release.releases (domain, number)
);
"""


@dataclass(frozen=True)
class ReleaseRow:
    """A registered release; `is_current` if it is the one served."""

    domain: str
    number: int
    released_at: datetime
    engine: str
    dbt_invocation: str
    git_commit: str | None
    rows: int
    seconds: float
    is_current: bool
    is_kept: bool


def schema_of(domain: str, number: int) -> str:
    """The schema that holds the tables of a release."""
    return f"{domain}__r{number}"


def number_of(schema: str) -> int:
    """The number of the release whose tables a schema holds."""
    return int(schema.rpartition("__r")[2])


def schemas_of(domain: str) -> str:
    """A regular expression for the schemas of a domain's releases."""
    return f"^{domain}__r[0-9]+$"


def prepare_store(connection: psycopg.Connection, database: ServingStore) -> None:
    """Makes the registry and the reader role if they are missing; commits.

    Raises `ReleaseError`, saying what to set instead, if the role may not be made.
    """
    try:
        make_reader(connection, database)
        connection.execute(TABLES)
        connection.execute(webhooks.TABLE)
        webhooks.grant_delivery(connection, database.events_role)
        live.prepare(connection)
        live.grant_rights(connection, database.reader_role, database.events_role)
        _grant(connection, sql.Identifier(database.reader_role))
    except psycopg.errors.InsufficientPrivilege as error:
        raise ReleaseError(
            f"POLLUX_DATABASE_URL may not do what a release needs: {told(error)}. It must be able "
            f"to create schemas, and to create or use the role {database.reader_role}; "
            "POLLUX_READER_URL names another role to read with."
        ) from error
    connection.commit()


def _grant(connection: psycopg.Connection, reader: sql.Identifier) -> None:
    """Lets the reader, which may be new, read the registry and every release that is kept."""
    kept = connection.execute("select nspname from pg_namespace where nspname ~ '__r[0-9]+$'")
    for schema in ["release", *(name for (name,) in kept.fetchall())]:
        name = sql.Identifier(schema)
        connection.execute(sql.SQL("grant usage on schema {} to {}").format(name, reader))
        connection.execute(
            sql.SQL("grant select on all tables in schema {} to {}").format(name, reader)
        )


@contextmanager
def lock_releases(connection: psycopg.Connection, domain: str) -> Iterator[None]:
    """Holds the lock that excludes a second release or rollback of the domain, on any machine.

    Raises `ReleaseError` if another one is still under way after `LOCK_TIMEOUT`.
    """
    key = f"pollux release {domain}"
    # The server notices a killed client only when the client's last statement ends.
    connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
    try:
        connection.execute("select pg_advisory_lock(hashtext(%s))", [key])
    except psycopg.errors.LockNotAvailable:
        connection.rollback()
        raise ReleaseError(f"Another release or rollback of {domain} is under way.") from None
    connection.commit()
    try:
        yield
    finally:
        if not connection.closed and not connection.broken:
            connection.rollback()
            connection.execute("select pg_advisory_unlock(hashtext(%s))", [key])
            connection.commit()


def read_releases(connection: psycopg.Connection, domain: str | None = None) -> list[ReleaseRow]:
    """The registered releases, newest first; empty if nothing was ever released."""
    registered = connection.execute("select to_regclass('release.current')").fetchone()
    if registered == (None,):
        return []
    with connection.cursor(row_factory=class_row(ReleaseRow)) as cursor:
        cursor.execute(
            """
            select releases.*,
                current.number is not null as is_current,
                to_regnamespace(releases.domain || '__r' || releases.number) is not null as is_kept
            from release.releases
            left join release.current
                on releases.domain = current.domain and releases.number = current.number
            where %(domain)s::text is null or releases.domain = %(domain)s
            order by releases.domain, releases.number desc
            """,
            {"domain": domain},
        )
        return cursor.fetchall()


def current_number(connection: psycopg.Connection, domain: str) -> int | None:
    """The number of a domain's release that is served."""
    rows = read_releases(connection, domain)
    return next((row.number for row in rows if row.is_current), None)


def switch(connection: psycopg.Connection, domain: str, number: int) -> None:
    """Makes a release the one that is served; the caller commits."""
    connection.execute(
        """
        insert into release.current (domain, number, switched_at) values (%s, %s, now())
        on conflict (domain) do update
        set number = excluded.number, switched_at = excluded.switched_at
        """,
        [domain, number],
    )
    connection.execute("select pg_notify(%s, %s)", [CHANNEL, f"{domain}:{number}"])


def enter(
    connection: psycopg.Connection,
    row: dict[str, Any],
    contracts: Sequence[Contract],
    rows: Mapping[str, int],
    quality: Quality | None,
) -> None:
    """Registers a new release, contracts and `rows` of its marts by name; the caller commits.

    Also the quality of its data, where its build noted it.
    """
    connection.execute(
        """
        insert into release.releases
            (domain, number, engine, dbt_invocation, git_commit, rows, seconds)
        values
            (%(domain)s, %(number)s, %(engine)s, %(dbt_invocation)s, %(git_commit)s, %(rows)s,
            %(seconds)s)
        """,
        row,
    )
    if quality is not None:
        connection.execute(
            "insert into release.quality (domain, number, quality) values (%s, %s, %s::jsonb)",
            [row["domain"], row["number"], quality.model_dump_json()],
        )
    marts = (f'{{"rows": {rows[one.name]}, "contract": {contract_json(one)}}}' for one in contracts)
    connection.execute(
        """
        with marts as (
            select contract ->> 'name' as mart, rows, contract
            from jsonb_to_recordset(%(marts)s::jsonb) as mart (rows bigint, contract jsonb)
        ), counted as (
            insert into release.row_counts (domain, number, mart, rows)
            select %(domain)s, %(number)s, mart, rows from marts
        )
        insert into release.contracts (domain, number, mart, contract)
        select %(domain)s, %(number)s, mart, contract from marts
        """,
        row | {"marts": f"[{', '.join(marts)}]"},
    )


def note_row_counts(connection: psycopg.Connection, domain: str, number: int) -> None:
    """Counts the rows of a release that an earlier version made, which did not note them."""
    noted = "select from release.row_counts where domain = %s and number = %s"
    if connection.execute(noted, [domain, number]).fetchone() is not None:
        return
    schema = schema_of(domain, number)
    tables = connection.execute("select tablename from pg_tables where schemaname = %s", [schema])
    for (table,) in tables.fetchall():
        count = sql.SQL(
            "insert into release.row_counts (domain, number, mart, rows) "
            "select %s, %s, %s, count(*) from {}"
        )
        connection.execute(count.format(sql.Identifier(schema, table)), [domain, number, table])


def read_row_counts(connection: psycopg.Connection, domain: str, number: int) -> dict[str, int]:
    """The rows of each mart of a release."""
    note_row_counts(connection, domain, number)
    noted = "select mart, rows from release.row_counts where domain = %s and number = %s"
    return dict(connection.execute(noted, [domain, number]).fetchall())


def drop_old_releases(connection: psycopg.Connection, domain: str) -> list[int]:
    """Drops the tables of all but the last three releases and the current one.

    Tables still in use by a reader or another view are left to the next release. Returns the
    numbers that stay.
    """
    rows = read_releases(connection, domain)
    stay = {row.number for row in rows[:KEPT_RELEASES]} | {r.number for r in rows if r.is_current}
    schemas = connection.execute(
        "select nspname from pg_namespace where nspname ~ %s", [schemas_of(domain)]
    )
    for (schema,) in schemas.fetchall():
        if number_of(schema) in stay:
            continue
        try:
            _drop(connection, schema)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
            connection.rollback()
        connection.commit()
    for table in ("contracts", "quality", "row_counts", "live"):
        connection.execute(
            f"delete from release.{table} where domain = %s and number <> all(%s)",
            [domain, list(stay)],
        )
    connection.commit()
    return sorted(stay)


def drop_unfinished_release(connection: psycopg.Connection, domain: str, number: int) -> None:
    """Drops the tables of a release that was interrupted before it was registered, if any."""
    schema = schema_of(domain, number)
    if connection.execute("select 1 from pg_namespace where nspname = %s", [schema]).fetchone():
        _drop(connection, schema)


def _drop(connection: psycopg.Connection, schema: str) -> None:
    connection.execute("set local lock_timeout = '2s'")
    tables = connection.execute("select tablename from pg_tables where schemaname = %s", [schema])
    # Table by table: cascade would drop other people's views, too.
    for (table,) in tables.fetchall():
        connection.execute(sql.SQL("drop table {}").format(sql.Identifier(schema, table)))
    connection.execute(sql.SQL("drop schema {}").format(sql.Identifier(schema)))
