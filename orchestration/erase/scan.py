"""Looks for subjects in every file and every table of an installation.

Belongs here: what is read in which way, and what counts as found. It deletes nothing: a dry run
shows what it finds, and the proof of an erasure is that it finds nothing.

Files that have columns (Parquet, Arrow, the warehouse, tables of the database) are read by them,
since engines pack what they write. Of every other file the bytes are read. An email is looked for
in all of it. A number means somebody only in a column that holds such an id, or under its name in
JSON.
"""

import gzip
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from orchestration.erase.columns import IdColumns, columns_of, find
from orchestration.erase.raw_files import DAMAGED, can_be_read, read_file, without
from orchestration.erase.scan_database import scan_database
from orchestration.erase.tables import shown_lines
from orchestration.erase.waiting import finder
from orchestration.load.formats import GZIP, is_parquet
from orchestration.load.rejects import read_rejects
from orchestration.scans import identifier, scan_parquet
from pollux.runtime.broker_store import read_payloads, store_of
from pollux.runtime.duck import open_duckdb
from pollux.runtime.live_lines import SUFFIX
from pollux.runtime.serving import ServingStore, find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from pollux.subject_patterns import byte_pattern, sure_part
from pollux.subjects import MEMBER, Subject, may_be_of

CHUNK = 2**22
# As long as an id and what must stand beside it.
OVERLAP = 2**10
# PostgreSQL writes the length of a shorter value as one byte.
LONGEST_SHORT = 126
# Copies of the project, whose unit tests number made-up people.
PROJECT = ("dbt/", "dagster/manifest.json")
JOURNAL = "select pg_relation_filepath(to_regclass('erasure.erasures'))"


@dataclass(frozen=True)
class Place:
    """Where subjects were found: a file, relative to the data folder, or a table; rows in it.

    `rows` is None where bytes were found that are in no row.
    """

    name: str
    rows: int | None


class _Wanted(NamedTuple):
    """What is looked for in bytes in lower case; one of the beginnings is in whatever matches."""

    beginnings: Sequence[bytes]
    pattern: re.Pattern[bytes]


@dataclass
class Scan:
    """What was looked through, and what was found in it."""

    places: list[Place]
    files: int = 0
    bytes: int = 0
    tables: int = 0


def scan(settings: Settings, subjects: Sequence[Subject], columns: IdColumns) -> Scan:
    """Looks through the whole installation; the caller keeps others from writing meanwhile."""
    found = Scan([])
    journal = None
    database = find_serving_store(settings)
    if database.is_made():
        with open_serving_store(settings).connect() as connection:
            for table, rows in scan_database(connection, subjects, columns):
                found.tables += 1
                if rows:
                    found.places.append(Place(f"database: {table}", rows))
            journal = connection.execute(JOURNAL).fetchone()
    home = None if database.embedded is None else database.embedded.home
    # It names whose erasure is not finished, and nobody else.
    left_out = home and journal and home / "cluster" / str(journal[0])
    texts = [_wanted(one, columns, is_database=False) for one in subjects]
    values = [_wanted(one, columns, is_database=True) for one in subjects]
    emails = [one for one, of in zip(texts, subjects, strict=True) if of.kind == MEMBER]
    with open_duckdb() as engine:
        for path, name in files_of(settings, database):
            if path == left_out:
                continue
            is_database = home is not None and path.is_relative_to(home)
            wanted = values if is_database else emails if name.startswith(PROJECT) else texts
            # One may go meanwhile, such as a file of the database's log.
            with suppress(FileNotFoundError):
                found.bytes += path.stat().st_size
                found.files += 1
                found.places += _scan_file(engine, settings, path, name, subjects, columns, wanted)
    return found


def files_of(settings: Settings, database: ServingStore) -> Iterator[tuple[Path, str]]:
    """Every file that the installation keeps, and its name to people.

    The embedded server's folder is elsewhere for root.
    """
    folders = {settings.data_dir, settings.landing_dir, settings.lake_dir}
    if database.embedded is not None:
        folders.add(database.embedded.home)
    seen = set()
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and path not in seen:
                seen.add(path)
                near = path.is_relative_to(settings.data_dir)
                yield path, str(path.relative_to(settings.data_dir) if near else path)


def _scan_file(
    engine: duckdb.DuckDBPyConnection,
    settings: Settings,
    path: Path,
    name: str,
    subjects: Sequence[Subject],
    columns: IdColumns,
    wanted: Sequence[_Wanted],
) -> Iterator[Place]:
    with path.open("rb") as file:
        beginning = file.read(16)
    if is_parquet(path) and can_be_read(engine, path):
        yield from _scan_table(engine, scan_parquet([path]), name, subjects, columns)
    elif path.suffix == SUFFIX:
        # Of a killed build one may be unfinished: nobody can read it.
        with suppress(pa.ArrowInvalid), shown_lines(engine, path) as source:
            yield from _scan_table(engine, source, name, subjects, columns)
    elif beginning[8:12] == b"DUCK":
        yield from _scan_warehouse(path, name, subjects, columns)
    elif path.is_relative_to(settings.inbox_dir):
        yield from _scan_raw_file(path, name, subjects, columns)
    elif path == store_of(settings):
        rows = sum(map(finder(subjects, columns), read_payloads(path)))
        if rows:
            yield Place(name, rows)
    elif path.is_relative_to(settings.rejects_dir):
        texts = [row["raw"] for row in read_rejects(path)]
        rows = sum(any(may_be_of(one, text) for one in subjects) for text in texts)
        if rows:
            yield Place(name, rows)
    if _has_bytes(path, beginning[: len(GZIP)] == GZIP, wanted):
        yield Place(name, None)


def _scan_raw_file(
    path: Path, name: str, subjects: Sequence[Subject], columns: IdColumns
) -> Iterator[Place]:
    try:
        content, _ = read_file(path)
    except DAMAGED:
        # Packed and damaged: nobody can read it.
        return
    if without(path, content, subjects, columns) != content:
        yield Place(name, None)


def _scan_warehouse(
    path: Path, name: str, subjects: Sequence[Subject], columns: IdColumns
) -> Iterator[Place]:
    with open_duckdb(path, read_only=True) as engine:
        tables = engine.execute(
            "select schema_name, table_name from duckdb_tables() "
            "where database_name = current_database() order by all"
        ).fetchall()
        for schema, table in tables:
            source = f"{identifier(schema)}.{identifier(table)}"
            yield from _scan_table(engine, source, f"{name}: {schema}.{table}", subjects, columns)


def _scan_table(
    engine: duckdb.DuckDBPyConnection,
    source: str,
    name: str,
    subjects: Sequence[Subject],
    columns: IdColumns,
) -> Iterator[Place]:
    present = columns_of(engine, source)
    texts = [column for column, type_ in present.items() if type_ == "VARCHAR"]
    # An email may be in any text.
    wide = {**columns, MEMBER: {column.lower(): True for column in texts}}
    found = find(present, subjects, wide)
    if found:
        ((rows,),) = engine.execute(f"select count(*) from {source} where {found.any}").fetchall()
        if rows:
            yield Place(name, rows)


def _has_bytes(path: Path, is_packed: bool, wanted: Sequence[_Wanted]) -> bool:
    try:
        with gzip.open(path) if is_packed else path.open("rb") as file:
            before = b""
            while chunk := file.read(CHUNK):
                text = before + chunk.lower()
                # The beginnings are found many times faster.
                if any(
                    any(one in text for one in found.beginnings) and found.pattern.search(text)
                    for found in wanted
                ):
                    return True
                before = text[-OVERLAP:]
    except DAMAGED:
        # Packed and damaged: nothing of it can be read.
        return False
    return False


def _wanted(subject: Subject, columns: IdColumns, *, is_database: bool) -> _Wanted:
    """The bytes of a subject in files; in those of the database, a value follows its length."""
    names = columns[subject.kind]
    pattern = byte_pattern(subject, names)
    if subject.kind != MEMBER:
        return _Wanted([f'"{name}"'.encode() for name in names], re.compile(pattern))
    email = subject.id.encode()
    if is_database and len(email) < LONGEST_SHORT:
        header = bytes([2 * len(email) + 3]).lower()
        pattern += b"|" + re.escape(header + email)
    return _Wanted([sure_part(subject)], re.compile(pattern))
