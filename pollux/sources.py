"""Where the tables of a release are read from: its Parquet files, or the serving database.

Belongs here: finding the release that is served, and reading any of its tables as Arrow, whole or
for some ids. Does not belong here: what the tables mean.

Both ways give the same table: columns, types and order (that of the table's key).
"""

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Literal, Protocol, TypeVar

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from psycopg import sql

from pollux.arrow import one_chunk
from pollux.domains import Domain
from pollux.errors import GatewayError, NoDatabaseError, NothingReleasedError, ReleaseGoneError
from pollux.runtime.serving import ServingStore, ServingStoreError, find_serving_store
from pollux.runtime.settings import Settings

SourceName = Literal["auto", "release", "store"]
SOURCE_NAMES = ("auto", "release", "store")

T = TypeVar("T")

ARROW_TYPES = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "text": pa.string(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
    "boolean": pa.bool_(),
    "double precision": pa.float64(),
}
COPY_BLOCK = 4 * 2**20
# Up to so many ids are quicker to fetch as rows, in one round trip.
FEW = 100


class Source(Protocol):
    """One release of one domain, to read its tables from."""

    @property
    def domain(self) -> str:
        """Name of the domain."""

    @property
    def number(self) -> int:
        """Number of the release."""

    def read(
        self,
        table: str,
        *,
        columns: list[str] | None = None,
        id_column: str | None = None,
        ids: pa.Array | None = None,
    ) -> pa.Table:
        """A table in the order of its key; with `ids`, only rows whose `id_column` is in them.

        Raises `ReleaseGoneError` where the release is no longer kept, and `GatewayError` where it
        has no such table.
        """


def settings_now() -> Settings:
    """The current settings; read again only where variables or the working folder changed."""
    variables = ((name, value) for name, value in os.environ.items() if "POLLUX_" in name.upper())
    return _settings_of(Path.cwd(), *sorted(variables))


@lru_cache
def _settings_of(*_: object) -> Settings:
    return Settings()


def open_source(
    settings: Settings, domain: Domain, name: str, *, prefer_store: bool = False
) -> Source:
    """The release of a domain that is served now.

    `auto` asks the serving database for its number, and reads its files where they are in the data
    folder (with `prefer_store`, the database). While the embedded server is not running, it follows
    the link beside the files. Raises `NoDatabaseError` or `NothingReleasedError`.
    """
    if name not in SOURCE_NAMES:
        raise GatewayError(f"There is no source {name!r}; there are: {', '.join(SOURCE_NAMES)}.")
    linked = _linked_release(settings, domain)
    if name == "release":
        if linked is None:
            raise NothingReleasedError(
                f"No release of {domain.name} lies in {settings.releases_dir}: run pollux up or "
                f"pollux build --domain {domain.name}, or set POLLUX_DATA_DIR to the data folder."
            )
        return linked
    try:
        database = _running_store(settings)
        number = _current_number(database, domain)
    except NoDatabaseError:
        if name == "auto" and linked is not None and settings.database_url is None:
            return linked
        raise
    served = StoreSource(database, domain.name, number)
    files = ReleaseFiles(settings.releases_dir, domain.name, served.number)
    if name == "auto" and not prefer_store and files.folder.is_dir():
        return files
    return served


def _linked_release(settings: Settings, domain: Domain) -> "ReleaseFiles | None":
    try:
        target = (settings.releases_dir / domain.name / "current").readlink().name
    except OSError:
        return None
    return ReleaseFiles(settings.releases_dir, domain.name, int(target.removeprefix("r")))


@dataclass(frozen=True)
class ReleaseFiles:
    """A release as its kept Parquet files."""

    releases_dir: Path
    domain: str
    number: int

    @property
    def folder(self) -> Path:
        """The folder of the release's files."""
        return self.releases_dir / self.domain / f"r{self.number}"

    def read(
        self,
        table: str,
        *,
        columns: list[str] | None = None,
        id_column: str | None = None,
        ids: pa.Array | None = None,
    ) -> pa.Table:
        """See `Source.read`."""
        try:
            # An open file can be read to its end, even if it is removed meanwhile.
            with pa.OSFile(str(self.folder / f"{table}.parquet")) as file:
                found = _read_parquet(file, columns, id_column, ids)
        except FileNotFoundError:
            if not self.folder.is_dir():
                raise _gone(self.domain, self.number) from None
            tables = sorted(path.stem for path in self.folder.glob("*.parquet"))
            raise _no_table(self.domain, self.number, table, tables) from None
        return one_chunk(found)


def _read_parquet(
    source: pa.NativeFile, columns: list[str] | None, id_column: str | None, ids: pa.Array | None
) -> pa.Table:
    # Not pq.read_table: it loads pandas where that is installed.
    schema = pq.ParquetFile(source).schema_arrow
    # Text that repeats itself is read several times faster as a dictionary.
    repeating = [f.name for f in schema if f.type == pa.string() and f.name != id_column]
    file = pq.ParquetFile(source, read_dictionary=repeating)
    if ids is None:
        return file.read(columns)
    parts = []
    for group in range(file.num_row_groups):
        group_ids = file.read_row_group(group, [id_column])[id_column]
        is_wanted = pc.is_in(group_ids, value_set=ids)
        if pc.any(is_wanted).as_py():
            parts.append(file.read_row_group(group, columns).filter(is_wanted))
    if parts:
        return pa.concat_tables(parts)
    return (schema if columns is None else pa.schema(map(schema.field, columns))).empty_table()


@dataclass(frozen=True)
class StoreSource:
    """A release in the serving database."""

    database: ServingStore
    domain: str
    number: int

    @property
    def schema(self) -> str:
        """The schema that holds the release's tables."""
        return f"{self.domain}__r{self.number}"

    def read(
        self,
        table: str,
        *,
        columns: list[str] | None = None,
        id_column: str | None = None,
        ids: pa.Array | None = None,
    ) -> pa.Table:
        """See `Source.read`."""
        shape = _shape(self, table)
        names = columns or list(shape.types)
        types = {name: shape.types[name] for name in names}
        kind = "text" if ids is not None and pa.types.is_string(ids.type) else "bigint"
        is_few = ids is not None and len(ids) <= FEW
        wanted = None
        if ids is not None:
            # COPY takes no parameters; a setting of the transaction does.
            value = "%s" if is_few else "current_setting('pollux.ids')"
            wanted = sql.SQL(f"{value}::{kind}[]")
        query = _select(self.schema, table, shape, names, id_column, wanted)

        def fetch(connection: psycopg.Connection) -> pa.Table:
            rows = connection.execute(query, [[] if ids is None else ids.to_pylist()]).fetchall()
            columns = zip(*rows, strict=True) if rows else ([] for _ in types)
            arrays = map(pa.array, columns, types.values())
            return pa.Table.from_arrays(list(arrays), names=names)

        def copy(connection: psycopg.Connection) -> pa.Table:
            with connection.transaction(), connection.cursor() as cursor:
                if ids is not None:
                    cursor.execute(
                        f"select set_config('pollux.ids', (%s::{kind}[])::text, true)",
                        [ids.to_pylist()],
                    )
                statement = sql.SQL("copy ({}) to stdout (format csv)").format(query)
                with cursor.copy(statement) as stream:
                    return _read_csv(stream, types)

        try:
            return one_chunk(with_connection(self.database, fetch if is_few else copy))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise _gone(self.domain, self.number) from None


@dataclass(frozen=True)
class _Shape:
    types: dict[str, pa.DataType]
    key: tuple[str, ...]


@lru_cache(maxsize=256)
def _shape(source: StoreSource, table: str) -> _Shape:
    """Columns and key of a table; they never change within a release."""
    rows = with_connection(
        source.database,
        lambda connection: connection.execute(
            """
            select columns.attname, format_type(columns.atttypid, columns.atttypmod),
                array_position(keys.indkey::int2[], columns.attnum)
            from pg_class as tables
            join pg_attribute as columns on columns.attrelid = tables.oid and columns.attnum > 0
            left join pg_index as keys on keys.indrelid = tables.oid and keys.indisprimary
            where tables.relnamespace = to_regnamespace(%s) and tables.relname = %s
                and not columns.attisdropped
            order by columns.attnum
            """,
            [source.schema, table],
        ).fetchall(),
    )
    if not rows:
        raise _absent(source, table)
    keyed = sorted((position, name) for name, _, position in rows if position is not None)
    return _Shape(
        types={name: _arrow_type(declared) for name, declared, _ in rows},
        key=tuple(name for _, name in keyed),
    )


def _arrow_type(declared: str) -> pa.DataType:
    if declared.startswith("numeric("):
        precision, _, scale = declared[len("numeric(") : -1].partition(",")
        return pa.decimal128(int(precision), int(scale))
    return ARROW_TYPES[declared]


def _select(
    schema: str,
    table: str,
    shape: _Shape,
    names: list[str],
    id_column: str | None,
    wanted: sql.SQL | None,
) -> sql.Composed:
    query = sql.SQL("select {} from {} as listed").format(
        sql.SQL(", ").join(sql.Identifier("listed", name) for name in names),
        sql.Identifier(schema, table),
    )
    if wanted is not None and id_column is not None:
        query += sql.SQL(" join unnest({}) as wanted(id) on wanted.id = {}").format(
            wanted, sql.Identifier("listed", id_column)
        )
    if shape.key:
        order = [
            sql.SQL('{} collate "C"' if shape.types[name] == pa.string() else "{}").format(
                sql.Identifier("listed", name)
            )
            for name in shape.key
        ]
        query += sql.SQL(" order by ") + sql.SQL(", ").join(order)
    return sql.Composed([query])


def _read_csv(stream: psycopg.Copy, types: dict[str, pa.DataType]) -> pa.Table:
    repeating = pa.dictionary(pa.int32(), pa.string())
    with io.BufferedReader(_Stream(iter(stream)), COPY_BLOCK) as file:
        try:
            reader = pa.csv.open_csv(
                file,
                read_options=pa.csv.ReadOptions(column_names=list(types), block_size=COPY_BLOCK),
                parse_options=pa.csv.ParseOptions(
                    newlines_in_values=pa.string() in types.values(), ignore_empty_lines=False
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types={
                        name: repeating if kind == pa.string() else kind
                        for name, kind in types.items()
                    },
                    null_values=[""],
                    true_values=["t"],
                    false_values=["f"],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise
            return pa.schema(list(types.items())).empty_table()
        return reader.read_all()


class _Stream(io.RawIOBase):
    """What COPY sends, as a file to read."""

    def __init__(self, chunks: Iterator[bytes | bytearray | memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


_connections: dict[tuple[int, str], psycopg.Connection] = {}
# One at a time: a connection has one transaction.
_working = RLock()


@lru_cache
def _store_of(settings: Settings) -> ServingStore:
    return find_serving_store(settings)


def _running_store(settings: Settings) -> ServingStore:
    """The serving database; raises `NoDatabaseError`, which says what to start."""
    database = _store_of(settings)
    if database.embedded is not None and not _is_connected(database):
        if not database.embedded.is_running():
            raise NoDatabaseError(
                f"The serving database of {settings.data_dir} does not run: start it with pollux "
                "db start (or everything, with pollux up), or set POLLUX_DATABASE_URL to your "
                "PostgreSQL."
            )
        # Counted among its users, so that it is not stopped under us.
        database.embedded.use()
    return database


def _is_connected(database: ServingStore) -> bool:
    connection = _connections.get((os.getpid(), database.reader_url))
    return connection is not None and not connection.closed


def with_connection(database: ServingStore, work: Callable[[psycopg.Connection], T]) -> T:
    """Runs read-only work on a kept connection, again on a new one if the server had gone.

    Raises `NoDatabaseError` where the server cannot be reached.
    """
    key = (os.getpid(), database.reader_url)
    with _working:
        connection = _connections.get(key)
        if connection is not None and not connection.closed:
            try:
                return _work(database, connection, work)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
        try:
            connection = _connections[key] = database.connect_reader()
        except ServingStoreError as error:
            raise NoDatabaseError(str(error)) from error
        return _work(database, connection, work)


def _work(
    database: ServingStore, connection: psycopg.Connection, work: Callable[[psycopg.Connection], T]
) -> T:
    if connection.autocommit:
        return work(connection)
    with connection.transaction():
        database.begin_reading(connection)
        return work(connection)


def _current_number(database: ServingStore, domain: Domain) -> int:
    try:
        row = with_connection(
            database,
            lambda connection: connection.execute(
                "select number from release.current where domain = %s", [domain.name]
            ).fetchone(),
        )
    except psycopg.errors.UndefinedTable:
        row = None
    if row is None:
        raise NothingReleasedError(
            f"Nothing of {domain.name} has been released: run pollux up, or pollux build "
            f"--domain {domain.name}."
        )
    return int(row[0])


def _absent(source: StoreSource, table: str) -> GatewayError:
    rows = with_connection(
        source.database,
        lambda connection: connection.execute(
            "select tablename from pg_tables where schemaname = %s order by 1", [source.schema]
        ).fetchall(),
    )
    if not rows:
        return _gone(source.domain, source.number)
    return _no_table(source.domain, source.number, table, [name for (name,) in rows])


def _gone(domain: str, number: int) -> ReleaseGoneError:
    return ReleaseGoneError(
        f"Release {number} of {domain}, which this was read from, is no longer kept: make the "
        "cohort again, from the release that is served now."
    )


def _no_table(domain: str, number: int, table: str, tables: list[str]) -> GatewayError:
    return GatewayError(
        f"Release {number} of {domain} has no table {table}; it has: {', '.join(tables)}."
    )
