"""What a backup holds, and how two copies of it are compared.

Belongs here: its files, the list of them, fingerprints of tables. Does not belong here: making one
(`create`) and restoring it (`restore`).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import TypeAdapter, ValidationError

from pollux.runtime.errors import PolluxError

CONTENTS = "backup.json"
DUMP = "database.dump"
# Left out is what can be rebuilt or spared: warehouse, lake, dbt's folder, Dagster's history, logs.
LANDED = ("landing", "rejects", "models", "erased")
KEYS = "keys"
FOLDERS = (*LANDED, "releases", KEYS)
FORMAT = 1

# The registry, the releases that are kept, all tables of the event service, and who was erased.
TABLES = """
select nspname, relname
from pg_class
inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
where
    relkind = 'r'
    and (nspname in ('release', 'events', 'erasure') or nspname ~ '^[a-z_]+__r[0-9]+$')
order by 1, 2
"""


class BackupError(PolluxError):
    """A backup cannot be made or restored."""


@dataclass(frozen=True)
class TableContent:
    """A table's row count, and the sum of its rows' hashes, which does not depend on order."""

    rows: int
    digest: str


@dataclass(frozen=True)
class Contents:
    """The list of a backup: `files` by path with SHA-256, `tables` by qualified name."""

    format: int
    pollux: str
    made_at: str
    engine: str
    files: dict[str, str]
    tables: dict[str, TableContent]


def write_contents(folder: Path, contents: Contents) -> None:
    """Writes the list; done last, since a folder without it is not a complete backup."""
    unfinished = folder / f"{CONTENTS}.new"
    unfinished.write_bytes(TypeAdapter(Contents).dump_json(contents, indent=2))
    unfinished.replace(folder / CONTENTS)


def read_contents(folder: Path) -> Contents:
    """The list of a backup; raises `BackupError` if the folder is not a complete backup."""
    path = folder / CONTENTS
    try:
        contents = TypeAdapter(Contents).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BackupError(
            f"{folder} is not a backup, or one that was not finished: {CONTENTS} is missing."
        ) from None
    except (ValidationError, OSError) as error:
        raise BackupError(f"{path} cannot be read: {error}") from error
    if contents.format != FORMAT:
        raise BackupError(
            f"{folder} is a backup of format {contents.format}, made by Pollux {contents.pollux}; "
            f"this one reads format {FORMAT}."
        )
    return contents


def sha256(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tables(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """Schema and name of every table that a backup holds."""
    return connection.execute(TABLES).fetchall()


def read_tables(connection: psycopg.Connection) -> dict[str, TableContent]:
    """The content of every table that a backup holds, as the connection's snapshot sees it."""
    # So that values have the same text on every server.
    connection.execute(
        "set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = "
        "'postgres'; set local bytea_output = 'hex'; set local extra_float_digits = 1"
    )
    found = {}
    for schema, name in tables(connection):
        query = sql.SQL(
            "select count(*), coalesce(sum(('x' || left(md5(line::text), 15))::bit(60)::bigint), 0)"
            "::text from {} as line"
        )
        row = connection.execute(query.format(sql.Identifier(schema, name))).fetchone()
        assert row is not None  # noqa: S101
        found[f"{schema}.{name}"] = TableContent(*row)
    return found
