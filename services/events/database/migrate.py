"""The schema `events`: created and migrated when the service starts.

Runs `migrations/` in order, each once, and checks that they match those that ran before.
"""

from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import psycopg

from pollux.masking import told
from pollux.runtime import erasures, live
from pollux.runtime.errors import PolluxError
from pollux.runtime.locks import LockSpace
from pollux.runtime.roles import make_events_role, make_reader, prepare_alone
from pollux.runtime.serving import ServingStore
from services.events.database.rights import grant_rights

MIGRATIONS = Path(__file__).parent / "migrations"

ALONE = "select pg_advisory_xact_lock(%s)"
# Version 0.1.0 recorded names only.
TABLE = """
create table if not exists events.migrations (
    name text primary key,
    applied_at timestamptz not null default clock_timestamp()
);
alter table events.migrations add column if not exists checksum text;
alter table events.migrations add column if not exists version text;
"""
RAN = "select name, checksum, coalesce(version, '0.1.0') from events.migrations order by name"
NOTE = "insert into events.migrations (name, checksum, version) values (%s, %s, %s)"
NOTE_CHECKSUM = "update events.migrations set checksum = %s where name = %s and checksum is null"


class MigrationError(PolluxError):
    """The schema `events` is not one that this program can work with."""

    exit_code = 3


def prepare_database(connection: psycopg.Connection, database: ServingStore) -> None:
    """Creates what the service needs before anything is released: its roles, and schema `events`.

    Raises `MigrationError`.
    """
    for make, role, remedy in (
        (make_reader, database.reader_role, "a role to read with in POLLUX_READER_URL"),
        (make_events_role, database.events_role, "one to write with in POLLUX_EVENTS_DATABASE_URL"),
    ):
        try:
            with connection.transaction():
                make(connection, database)
        except psycopg.errors.InsufficientPrivilege as error:
            raise MigrationError(
                f"POLLUX_DATABASE_URL may not create or use the role {role} ({told(error)}): let "
                f"it, or name {remedy}."
            ) from error
    migrate(connection)
    with connection.transaction():
        connection.execute(ALONE, [LockSpace.MIGRATION])
        # A release gives this role rights, too.
        prepare_alone(connection)
        live.prepare(connection)
        grant_rights(connection, database)
        live.grant_rights(connection, database.reader_role, database.events_role)


def migrate(connection: psycopg.Connection, folder: Path = MIGRATIONS) -> list[str]:
    """Runs the files of `folder` that have not run yet, all or nothing; returns their names.

    Concurrent calls run one after the other. What is in the tables stays. Raises `MigrationError`
    if the schema is newer than the files, or if a file was changed since it ran.
    """
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.sql"))}
    checksums = {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}
    with connection.transaction():
        connection.execute(ALONE, [LockSpace.MIGRATION])
        # Whatever comes in is compared with who was erased.
        erasures.prepare(connection)
        connection.execute("create schema if not exists events")
        connection.execute(TABLE.encode())
        ran = {name: more for name, *more in connection.execute(RAN).fetchall()}
        _refuse_newer(ran, checksums)
        for name, (checksum, its_version) in ran.items():
            if checksum is None:
                connection.execute(NOTE_CHECKSUM, [checksums[name], name])
            elif checksum != checksums[name]:
                raise MigrationError(
                    f"Migration {name} of schema events is not the one that ran here with Pollux "
                    f"{its_version}: its file was changed since. Restore the file; a change of the "
                    "schema needs a migration of its own."
                )
        new = [name for name in texts if name not in ran]
        for name in new:
            connection.execute(texts[name].encode())
            connection.execute(NOTE, [name, checksums[name], version("pollux")])
    return new


def _refuse_newer(ran: dict[str, list[str]], checksums: dict[str, str]) -> None:
    unknown = [name for name in ran if name not in checksums]
    if unknown:
        newest = unknown[-1]
        raise MigrationError(
            f"Schema events is newer than this program: Pollux {ran[newest][1]} ran migration "
            f"{newest}, which Pollux {version('pollux')} does not know. Start a Pollux that does."
        )
