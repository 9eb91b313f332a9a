"""How documents and lists of them are read from the tables of a release.

Belongs here: the SQL that all domains share, and how a list's filters, sorts and pages become
part of it. Does not belong here: tables and conditions, which the domains declare.

PostgreSQL writes the JSON; nothing parses it on the way. In SQL texts `{release}` is the schema of
the release. Values are always parameters; names come from the declarations only.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from types import ModuleType
from typing import Any, Generic, TypeVar

from pollux.contracts import Contract
from pollux.names import spellings
from services.api.documents import Document, PageQuery, document_of
from services.api.names import known_names, meant_by, quoted
from services.common.contracts import contract_of, python_type
from services.common.database import Database
from services.common.paging import Position, page_of_rows, read_next
from services.common.problems import ProblemError, invalid_input
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
CONTROLS = {"limit", "next", "sort", "metric"}

# A key is looked up together with those that other requests ask for at the same time.
FIND = """
select found.{key}, row_to_json(found)::text
from (
    select {columns} from {release}.{table} where {key} = any($1::{type}[])
) as found
"""

# A name, and several of them.
ONE, ANY = "= {0}::text", "= any({0}::text[])"

EXISTS = "select from {release}.{table} where {key} = $1::{type} limit 1"

# The sort's columns come as text beside each document: `next` is made from the last row's.
ROWS = """
select row_to_json(page)::text, {keys}
from (
    {parts}
) as page
order by {order}
limit $1
"""

PART = """(
    select {columns} from {release}.{table} where {conditions} order by {order} limit $1
)"""


@dataclass(frozen=True, eq=False)
class Mart:
    """A served table."""

    domain: str
    table: str

    @property
    def document(self) -> type[Document]:
        """The class of its rows' documents."""
        return document_of(self.domain, self.table)

    @property
    def columns(self) -> str:
        """Its columns, for a select."""
        return ", ".join(quoted(column.name) for column in self.contract.columns)

    @property
    def contract(self) -> Contract:
        """Its contract."""
        return contract_of(self.domain, self.table)

    def column_type(self, name: str) -> tuple[type, bool]:
        """The Python type of a column, and whether it may be null."""
        return python_type(self.contract.column(name)), self.contract.may_be_null(name)


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup(Generic[K]):
    """Finds the document of a key; `unknown` makes the problem of an unknown key."""

    mart: Mart
    key: str
    unknown: Callable[[K], ProblemError] = field(repr=False)

    async def find(self, database: Database, release: Release, key: K) -> bytes | None:
        """The document, or None."""
        found = await database.find(_key_sql(FIND, self.mart, self.key, release.schema), key)
        return None if found is None else found.encode()

    async def read(self, database: Database, release: Release, key: K) -> bytes:
        """The document; raises the problem of an unknown key."""
        found = await self.find(database, release, key)
        if found is None:
            raise self.unknown(key)
        return found

    async def demand(self, database: Database, release: Release, key: K) -> K:
        """The key as the data spell it; raises the problem of an unknown one."""
        sql = _key_sql(EXISTS, self.mart, self.key, release.schema)
        if await database.fetch(sql, key):
            return key
        if isinstance(key, str):
            known = await known_names(database, release, [self.mart.table], self.key)
            if found := spellings(key, known or ()):
                return found[0]
        raise self.unknown(key)


@dataclass(frozen=True, eq=False, kw_only=True)
class Listing(Generic[K]):
    """Documents of a mart, a page at a time.

    `key` lists the columns of the default order; together they are unique, and none is ever null.
    Another sort puts its column before them; rows that have no value there come last in either
    direction. `filters` are conditions by the name of their parameter, with `{0}` for its value.
    `within` is the condition of a list that belongs to a parent; `parent` tells a parent with an
    empty list from an unknown one.

    `names` has, for filters that are names, the marts whose column of that name lists the known
    ones: a value means all of them that are the same text, and a value that means none is refused.
    `keys` has, for filters that are keys, the lookups of those keys.
    """

    name: str
    mart: Mart
    key: Sequence[str]
    filters: Mapping[str, str] = field(default_factory=dict)
    within: str | None = None
    parent: Lookup[K] | None = None
    names: Mapping[str, Sequence[Mart]] = field(default_factory=dict)
    keys: Mapping[str, Lookup[int]] = field(default_factory=dict)

    async def read(
        self, database: Database, release: Release, query: PageQuery, within: K | None = None
    ) -> bytes:
        """A page; raises a problem for an unknown key or name, and for a `next` of another list."""
        sort: str = getattr(query, "sort", self.key[0])
        filters: dict[str, Any] = query.model_dump(exclude=CONTROLS, exclude_none=True)
        binding = repr((self.name, within, sort, sorted(filters.items())))
        columns = self.order(sort)
        start: Position | None = None
        if query.next is not None:
            types = [self.mart.column_type(column) for column in columns]
            kinds = [kind for kind, _ in types]
            start = read_next(binding, query.next, kinds, first_may_be_null=types[0][1])
        shape = None if start is None else start[0] is not None

        async def fetch(*, several: bool = False) -> list[Any]:
            sql = list_sql(self, release.schema, sort, tuple(filters), shape, several)
            arguments = [query.limit + 1, *([] if within is None else [within]), *filters.values()]
            arguments += [value for value in start or () if value is not None]
            return await database.fetch(sql, *arguments)

        rows = await fetch()
        if not rows and self.parent is not None and within is not None:
            asked, within = within, await self.parent.demand(database, release, within)
            rows = rows if within == asked else await fetch()
        # Other spellings are tried only if nothing is found as it was asked for.
        if not rows and (meant := await self._meant(database, release, filters)):
            filters |= meant
            rows = await fetch(several=True)
        return page_of_rows(binding, rows, query.limit)

    async def _meant(
        self, database: Database, release: Release, filters: Mapping[str, Any]
    ) -> dict[str, list[str]]:
        """The spellings that filters mean, if any differs from what was asked for."""
        for name, lookup in self.keys.items():
            if name in filters:
                try:
                    await lookup.demand(database, release, filters[name])
                except ProblemError as problem:
                    raise invalid_input("query", name, problem.detail) from None
        meant = {}
        for name in self.names.keys() & filters.keys():
            tables = [mart.table for mart in self.names[name]]
            found = await meant_by(filters[name], database, release, tables, name)
            meant[name] = found or [filters[name]]
        return meant if any(meant[name] != [filters[name]] for name in meant) else {}

    def order(self, sort: str) -> tuple[str, ...]:
        """The columns of an order; no two rows have the same values in them."""
        column = sort.removeprefix("-")
        return tuple(self.key) if column == self.key[0] else (column, *self.key)


@lru_cache(maxsize=1024)
def list_sql(
    listing: Listing[K],
    schema: str,
    sort: str,
    filters: tuple[str, ...],
    starts_at_value: bool | None,
    several: bool = False,
) -> str:
    """The query of a page.

    `starts_at_value` says whether the sort's column has a value in the last row of the previous
    page; None for the first page. The parameters are the limit, the parent's key if there is one,
    the filters' values, and the columns of that row that have a value. With `several`, filters
    that are names take lists of values.
    """
    columns = listing.order(sort)
    descending = sort.startswith("-")
    given = [listing.within] if listing.within else []
    given += [
        listing.filters[name].replace(ONE, ANY)
        if several and name in listing.names
        else listing.filters[name]
        for name in filters
    ]
    conditions: list[str] = [text.format(f"${place}") for place, text in enumerate(given, start=2)]
    first_place = len(given) + 2

    def after(names: Sequence[str]) -> str:
        types = [SQL_TYPES[listing.mart.column_type(name)[0]] for name in names]
        places = ", ".join(f"${place}::{kind}" for place, kind in enumerate(types, first_place))
        return f"({', '.join(names)}) {'<' if descending else '>'} ({places})"

    def part(*more: str) -> str:
        direction = "desc" if descending else "asc"
        return PART.format(
            columns=listing.mart.columns,
            release="{release}",
            table=listing.mart.table,
            conditions=" and ".join([*conditions, *more]) or "true",
            order=", ".join(f"{name} {direction}" for name in columns),
        )

    first, *rest = columns
    if not listing.mart.column_type(first)[1]:
        parts = [part(*([] if starts_at_value is None else [after(columns)]))]
    else:
        # Two parts, so that an index gives each in order, in either direction.
        valued = part(f"{first} is not null", *([after(columns)] if starts_at_value else []))
        without = part(f"{first} is null", *([after(rest)] if starts_at_value is False else []))
        parts = [without] if starts_at_value is False else [valued, without]
    direction = "desc nulls last" if descending else "asc nulls last"
    text = ROWS.format(
        keys=", ".join(f"page.{name}::text" for name in columns),
        parts="\n    union all\n    ".join(parts),
        order=", ".join(f"page.{name} {direction}" for name in columns),
    )
    return text.replace("{release}", schema)


@lru_cache(maxsize=256)
def _key_sql(template: str, mart: Mart, key: str, schema: str) -> str:
    return template.format(
        key=key,
        columns=mart.columns,
        table=mart.table,
        type=SQL_TYPES[mart.column_type(key)[0]],
        release=schema,
    )


def edition(*repositories: ModuleType) -> str:
    """A hash that changes with any query or document: tags of older answers no longer match."""
    parts = [FIND, EXISTS, ROWS, PART]
    for module in repositories:
        for name, value in vars(module).items():
            if isinstance(value, Mart):
                parts += [repr(value), value.columns]
            elif isinstance(value, Lookup | Listing) or (name.isupper() and isinstance(value, str)):
                parts.append(repr(value))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
