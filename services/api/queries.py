"""How documents are read from the tables of a release, by their keys.

Belongs here: the SQL that all domains share. Does not belong here: tables, which the domains
declare, and lists (`listing`).

PostgreSQL writes the JSON; nothing parses it on the way. In SQL texts `{release}` is the schema of
the release. Values are always parameters; names come from the declarations only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Generic, TypeVar

from pollux.contracts import Contract
from pollux.names import spellings
from services.api.documents import Document, document_of
from services.api.names import known_names, quoted
from services.common.contracts import contract_of, python_type
from services.common.database import Database
from services.common.problems import ProblemError
from services.common.releases import Release

K = TypeVar("K", int, str)

SQL_TYPES: Mapping[type, str] = {
    int: "bigint",
    Decimal: "numeric",
    float: "double precision",
    str: "text",
    # As text, which `Database.fetch` makes of them.
    date: "text::date",
    datetime: "text::timestamp",
    bool: "boolean",
}
# A key is looked up together with those that other requests ask for at the same time.
FIND = """
select found.{key}, row_to_json(found)::text
from (
    select {columns} from {release}.{table} where {key} = any($1::{type}[])
) as found
"""

EXISTS = "select from {release}.{table} where {key} = $1::{type} limit 1"


@dataclass(frozen=True, eq=False)
class Mart:
    """A served table, by its contract in this checkout or else the one that is given."""

    domain: str
    table: str
    given: Contract | None = None

    @property
    def document(self) -> type[Document]:
        """The class of its rows' documents."""
        return document_of(self.domain, self.table)

    @property
    def columns(self) -> str:
        """Its columns, for a select."""
        return ", ".join(quoted(column.name) for column in self.contract.columns)

    @property
    def shown_columns(self) -> str:
        """Its columns as answers have them, for a select that is not ordered by them."""
        names = [column.name for column in self.contract.columns]
        return ", ".join(f"{self.shown(name)} as {quoted(name)}" for name in names)

    def shown(self, name: str, of: str = "") -> str:
        """The value of a column as answers have it: a time says that it is in UTC."""
        column = f"{of}{quoted(name)}"
        is_time = self.column_type(name)[0] is datetime
        return f"replace({column}::text, ' ', 'T') || 'Z'" if is_time else column

    @property
    def has_times(self) -> bool:
        """Whether any of its columns is a time."""
        return any(python_type(column) is datetime for column in self.contract.columns)

    @property
    def contract(self) -> Contract:
        """Its contract."""
        return self.given or contract_of(self.domain, self.table)

    def column_type(self, name: str) -> tuple[type, bool]:
        """The Python type of a column, and whether it may be null."""
        return python_type(self.contract.column(name)), self.contract.may_be_null(name)


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup(Generic[K]):
    """Finds the document of a key; `unknown` makes the problem of an unknown key.

    `beside` is SQL of fields that the document has after the mart's columns. `unknown_among` makes
    the problem of an unknown name from the name and those that are known.
    """

    mart: Mart
    key: str
    unknown: Callable[[K], ProblemError] = field(repr=False)
    beside: str = ""
    unknown_among: Callable[[str, Sequence[str]], ProblemError] | None = field(
        default=None, repr=False
    )

    async def find(self, database: Database, release: Release, key: K) -> bytes | None:
        """The document, or None."""
        sql = key_sql(FIND, self.mart, self.key, release.schema, self.beside)
        found = await database.find(sql, key)
        return None if found is None else found.encode()

    async def read(self, database: Database, release: Release, key: K) -> bytes:
        """The document; raises the problem of an unknown key."""
        found = await self.find(database, release, key)
        if found is None:
            raise self.unknown(key)
        return found

    async def demand(self, database: Database, release: Release, key: K) -> K:
        """The key as the data spell it; raises the problem of an unknown one."""
        sql = key_sql(EXISTS, self.mart, self.key, release.schema)
        if await database.fetch(sql, key):
            return key
        if isinstance(key, str):
            known = await known_names(database, release, [self.mart.table], self.key)
            if found := spellings(key, known or ()):
                return found[0]
            if known and self.unknown_among:
                raise self.unknown_among(key, known)
        raise self.unknown(key)


@lru_cache(maxsize=256)
def key_sql(template: str, mart: Mart, key: str, schema: str, beside: str = "") -> str:
    """A query by key of a mart's table in a schema."""
    more = f", {beside.format(release=schema)}" if beside else ""
    return template.format(
        key=key,
        columns=mart.shown_columns + more,
        table=mart.table,
        type=SQL_TYPES[mart.column_type(key)[0]],
        release=schema,
    )
