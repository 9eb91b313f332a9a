"""Lists of a mart's documents: pages, counts and whole lists, all from one declaration.

Belongs here: how a list's filters, sorts, fields and formats become SQL. Does not belong here:
tables and conditions, which the domains declare, and HTTP (`answers`).

PostgreSQL writes JSON and CSV; nothing parses them on the way. Values are always parameters, or
quoted where COPY takes none; names come from the declarations and contracts only.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from types import ModuleType
from typing import Any, Generic, TypeVar

from services.api.documents import MAX_LIMIT, PageQuery
from services.api.names import meant_by, quoted
from services.api.queries import EXISTS, FIND, SQL_TYPES, Lookup, Mart
from services.common.copying import Copying
from services.common.database import Database
from services.common.formats import Format
from services.common.paging import Position, page_of_rows, read_next
from services.common.problems import ProblemError, invalid_input, invalid_parts
from services.common.releases import Release

K = TypeVar("K", int, str)

OF_PAGES = ("limit", "next", "count")
NOT_OF_WHOLE_LISTS = "A whole list has no pages: leave it out, or ask for application/json"

# The sort's columns come as text beside each document: `next` is made from the last row's.
ROWS = """
select row_to_json({document})::text, {keys}
from (
    {parts}
) as page{fields}
order by {order}
limit $1
"""

PART = """(
    select {columns} from {table} where {conditions} order by {order} limit $1
)"""

FIELDS = """
cross join lateral (select {fields}) as chosen"""

COUNT = "select count(*) from {table} where {conditions}"

WHOLE = "select {columns} from {table} where {conditions} order by {order}"

# Nothing in JSON looks like these, so it is copied as it is.
NDJSON_OPTIONS = {"format": "csv", "quote": "\x01", "delimiter": "\x02"}
NDJSON = "select row_to_json(page)::text from ({whole}) as page"
CSV_OPTIONS = {"format": "csv", "header": True}
OPTIONS: Mapping[Format, Mapping[str, Any]] = {
    Format.CSV: CSV_OPTIONS,
    Format.NDJSON: NDJSON_OPTIONS,
}
# A spreadsheet runs a text that begins with one of the first as a formula, also after a
# tab or a line break. What begins with the last is marked too, so that the mark can be taken off.
FORMULA = "=+-@\t\r\n＝＋－＠'"  # noqa: RUF001
MARK = "'"


@dataclass(frozen=True, eq=False, kw_only=True)
class Listing(Generic[K]):
    """Documents of a mart: a page at a time, or all.

    `key` lists the columns of the default order; together they are unique, and none is ever null.
    Another sort puts its column before them; rows that have no value there come last in either
    direction. `equal` lists the columns with a filter of their name, which keeps rows that have
    its value or, if it takes several, one of them. `filters` are other conditions by the name of
    their parameter, with `{0}` for its value and `{release}` for the schema. `within` is the
    condition of a list that belongs to a parent; `parent` tells a parent with an empty list from
    an unknown one.

    `names` has, for filters that are names, the marts whose column of that name lists the known
    ones: a value means all of them that are the same text, and a value that means none is refused.
    `keys` has, for filters that are keys, the lookups of those keys.
    """

    name: str
    mart: Mart
    key: Sequence[str]
    equal: Sequence[str] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    within: str | None = None
    parent: Lookup[K] | None = None
    names: Mapping[str, Sequence[Mart]] = field(default_factory=dict)
    keys: Mapping[str, Lookup[int]] = field(default_factory=dict)

    async def read(
        self,
        database: Database,
        release: Release,
        query: PageQuery,
        within: K | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> bytes:
        """A page; raises a problem for an unknown key or name, and for a `next` of another list.

        The values of filters are `asked`, or else those in the query.
        """
        filters: dict[str, Any] = self._filters(query, asked)
        # Several names are looked up before: rows of one do not make the others known.
        filters |= await self._meant(database, release, filters, list)
        asked_page = self._page(query, within, filters)

        async def fetch() -> list[Any]:
            sql = asked_page.sql(self, release.schema, filters)
            return await database.fetch(sql, *asked_page.arguments(within, filters))

        rows = await fetch()
        if not rows and self.parent is not None and within is not None:
            asked_for, within = within, await self.parent.demand(database, release, within)
            rows = rows if within == asked_for else await fetch()
        if not rows:
            await self._demand_keys(database, release, filters)
            # Other spellings are tried only if nothing is found as it was asked for.
            if meant := await self._meant(database, release, filters, str):
                filters |= meant
                rows = await fetch()
        count = None
        if query.count:
            sql = count_sql(self, release.schema, _shape(filters))
            values = [*([] if within is None else [within]), *filters.values()]
            ((count,),) = await database.fetch(sql, *values)
        return page_of_rows(asked_page.binding, rows, asked_page.limit, count)

    def live_page(self, query: PageQuery, within: K, schema: str) -> "LivePage":
        """A page of a list without filters by name, as part of one statement on live rows."""
        filters = self._filters(query, None)
        asked_page = self._page(query, within, filters)
        count = count_sql(self, schema, _shape(filters), first_place=2) if query.count else "null"
        return LivePage(
            rows=asked_page.sql(self, schema, filters),
            columns=1 + len(self.order(asked_page.sort)),
            count=count,
            arguments=asked_page.arguments(within, filters),
            binding=asked_page.binding,
            limit=asked_page.limit,
        )

    async def copy(
        self,
        database: Database,
        release: Release,
        as_: Format,
        query: PageQuery,
        within: K | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> Copying:
        """The whole list, as it begins to come; raises as `read` does."""
        check_whole(query)
        filters: dict[str, Any] = self._filters(query, asked)
        filters |= await self._meant(database, release, filters, list)
        if self.parent is not None and within is not None:
            within = await self.parent.demand(database, release, within)
        await self._demand_keys(database, release, filters)
        filters |= await self._meant(database, release, filters, str)
        sql, values = self._whole(query, within, filters, release.schema, as_)
        return await Copying.begin(database, sql, values, OPTIONS[as_])

    async def copy_live(
        self, database: Database, schema: str, as_: Format, query: PageQuery, within: K, state: str
    ) -> Copying:
        """The whole of a list without filters by name, from live rows.

        `state` is a query whose row, of the same moment, the result has; its parameters are those
        of the list.
        """
        check_whole(query)
        sql, values = self._whole(query, within, self._filters(query, None), schema, as_)
        return await Copying.begin(database, sql, values, OPTIONS[as_], state=state)

    def order(self, sort: str) -> tuple[str, ...]:
        """The columns of an order; no two rows have the same values in them."""
        column: str = sort.removeprefix("-")
        return (column, *(name for name in self.key if name != column))

    def _page(self, query: PageQuery, within: K | None, filters: Mapping[str, Any]) -> "_Page":
        sort: str = getattr(query, "sort", self.key[0])
        binding = repr((self.name, within, sort, sorted(filters.items())))
        start: Position | None = None
        if query.next is not None:
            types = [self.mart.column_type(column) for column in self.order(sort)]
            kinds = [kind for kind, _ in types]
            start = read_next(binding, query.next, kinds, first_may_be_null=types[0][1])
        # As many as may be asked for fit on one page.
        has_ids = getattr(query, "ids", None) is not None
        all_fit = has_ids and "limit" not in query.model_fields_set
        limit = MAX_LIMIT if all_fit else query.limit
        return _Page(sort, binding, start, limit, self._fields(query))

    def _whole(
        self,
        query: PageQuery,
        within: K | None,
        filters: Mapping[str, Any],
        schema: str,
        as_: Format,
    ) -> tuple[str, list[Any]]:
        sort: str = getattr(query, "sort", self.key[0])
        sql = whole_sql(self, schema, sort, _shape(filters), self._fields(query), as_)
        return sql, [*([] if within is None else [within]), *filters.values()]

    def condition(self, name: str, *, takes_several: bool) -> str:
        """The condition of a filter, for one value or for several."""
        if name in self.filters:
            return self.filters[name]
        # Of `ids`, unless that is a column.
        column = name if name in self.equal else self.key[0]
        kind = SQL_TYPES[self.mart.column_type(column)[0]]
        value = f"any({{0}}::{kind.replace('::', '[]::')}[])" if takes_several else f"{{0}}::{kind}"
        # Braces in a name are not places.
        return f"{quoted(column).replace('{', '{{').replace('}', '}}')} = {value}"

    def _filters(self, query: PageQuery, asked: Mapping[str, Any] | None) -> dict[str, Any]:
        if asked is None:
            found = {name: getattr(query, name) for name in (*self.equal, *self.filters)}
        else:
            found = dict(asked)
        filters = {
            name: _single(value) if name in self.equal else value
            for name, value in found.items()
            if value is not None
        }
        if (ids := getattr(query, "ids", None)) is not None:
            filters["ids"] = ids
        return filters

    def _fields(self, query: PageQuery) -> tuple[str, ...] | None:
        if query.fields is None:
            return None
        known = [column.name for column in self.mart.contract.columns]
        for name in query.fields:
            if name not in known:
                why = f"No field {name[:100]!r} in these documents, which have {', '.join(known)}"
                raise invalid_input("query", "fields", why)
        return tuple(dict.fromkeys(query.fields))

    async def _demand_keys(
        self, database: Database, release: Release, filters: Mapping[str, Any]
    ) -> None:
        """Raises the problem of a filter whose value is not a known key."""
        for name, lookup in self.keys.items():
            if name in filters:
                try:
                    await lookup.demand(database, release, filters[name])
                except ProblemError as problem:
                    raise invalid_input("query", name, problem.detail) from None

    async def _meant(
        self, database: Database, release: Release, filters: Mapping[str, Any], kind: type
    ) -> dict[str, Any]:
        """What filters with one name (`str`) or several (`list`) mean, if not just that."""
        meant = {}
        for name, marts in self.names.items():
            value = filters.get(name)
            if isinstance(value, kind):
                names = value if isinstance(value, list) else [[value]]
                tables = [mart.table for mart in marts]
                found = _single(await meant_by(names, database, release, tables, name))
                if found != value:
                    meant[name] = found
        return meant


@dataclass(frozen=True)
class _Page:
    """What a page is asked for by, besides its filters."""

    sort: str
    binding: str
    start: Position | None
    limit: int
    fields: tuple[str, ...] | None

    def sql(self, listing: Listing[K], schema: str, filters: Mapping[str, Any]) -> str:
        starts_at_value = None if self.start is None else self.start[0] is not None
        return list_sql(listing, schema, self.sort, _shape(filters), starts_at_value, self.fields)

    def arguments(self, within: object, filters: Mapping[str, Any]) -> list[Any]:
        found = [self.limit + 1, *([] if within is None else [within]), *filters.values()]
        return found + [value for value in self.start or () if value is not None]


@dataclass(frozen=True)
class LivePage:
    """Queries of a page's rows, of so many columns, and of its count, by the same arguments.

    The first two arguments are the number of rows and the key of the customer.
    """

    rows: str
    columns: int
    count: str
    arguments: Sequence[Any]
    binding: str
    limit: int

    def of(self, rows: Sequence[Sequence[str]], count: int | None) -> bytes:
        """The page, as JSON."""
        return page_of_rows(self.binding, rows, self.limit, count)


def check_whole(query: PageQuery) -> None:
    """Raises a problem where a whole list is asked for with what pages have."""
    known = type(query).model_fields
    if of_pages := [name for name in OF_PAGES if name in query.model_fields_set]:
        names = [known[name].alias or name for name in of_pages]
        raise invalid_parts([{"loc": ("query", one), "msg": NOT_OF_WHOLE_LISTS} for one in names])


@lru_cache(maxsize=1024)
def list_sql(
    listing: Listing[K],
    schema: str,
    sort: str,
    filters: tuple[tuple[str, bool], ...],
    starts_at_value: bool | None,
    fields: tuple[str, ...] | None = None,
) -> str:
    """The query of a page.

    `filters` says of each whether it has several values. `starts_at_value` says whether the sort's
    column has a value in the last row of the previous page; None for the first page. The
    parameters are the limit, the parent's key if there is one, the filters' values, and the
    columns of that row that have a value.
    """
    columns = listing.order(sort)
    descending = sort.startswith("-")
    conditions: list[str] = _conditions(listing, schema, filters, first_place=2)
    first_place = len(conditions) + 2

    def after(names: Sequence[str]) -> str:
        types = [SQL_TYPES[listing.mart.column_type(name)[0]] for name in names]
        places = ", ".join(f"${place}::{kind}" for place, kind in enumerate(types, first_place))
        sign = "<" if descending else ">"
        return f"({', '.join(quoted(name) for name in names)}) {sign} ({places})"

    def part(*more: str) -> str:
        direction = "desc" if descending else "asc"
        return PART.format(
            columns=listing.mart.columns,
            table=_table(listing, schema),
            conditions=" and ".join([*conditions, *more]) or "true",
            order=", ".join(f"{quoted(name)} {direction}" for name in columns),
        )

    first, *rest = columns
    if not listing.mart.column_type(first)[1]:
        parts = [part(*([] if starts_at_value is None else [after(columns)]))]
    else:
        # Two parts, so that an index gives each in order, in either direction.
        valued = part(
            f"{quoted(first)} is not null", *([after(columns)] if starts_at_value else [])
        )
        without = part(
            f"{quoted(first)} is null", *([after(rest)] if starts_at_value is False else [])
        )
        parts = [without] if starts_at_value is False else [valued, without]
    if fields is None and listing.mart.has_times:
        fields = tuple(column.name for column in listing.mart.contract.columns)
    chosen = [f"{listing.mart.shown(name, 'page.')} as {quoted(name)}" for name in fields or ()]
    return ROWS.format(
        document="chosen" if fields else "page",
        fields=FIELDS.format(fields=", ".join(chosen)) if fields else "",
        keys=", ".join(f"page.{quoted(name)}::text" for name in columns),
        parts="\n    union all\n    ".join(parts),
        order=_order(listing, sort, "page."),
    )


@lru_cache(maxsize=1024)
def count_sql(
    listing: Listing[K], schema: str, filters: tuple[tuple[str, bool], ...], first_place: int = 1
) -> str:
    """The query of a list's count.

    Its parameters are the parent's key and the filters' values, from `first_place` on.
    """
    conditions = _conditions(listing, schema, filters, first_place)
    return COUNT.format(
        table=_table(listing, schema), conditions=" and ".join(conditions) or "true"
    )


def whole_sql(
    listing: Listing[K],
    schema: str,
    sort: str,
    filters: tuple[tuple[str, bool], ...],
    fields: tuple[str, ...] | None,
    as_: Format,
) -> str:
    """The query of a whole list; its parameters are those of `count_sql`."""
    shown = fields or tuple(column.name for column in listing.mart.contract.columns)
    whole = WHOLE.format(
        columns=", ".join(
            f"{listing.mart.shown(name)} as {quoted(name)}"
            if as_ is Format.NDJSON
            else _in_csv(listing.mart, name, is_alone=len(shown) == 1)
            for name in shown
        ),
        table=_table(listing, schema),
        conditions=" and ".join(_conditions(listing, schema, filters)) or "true",
        order=_order(listing, sort, f"{quoted(listing.mart.table)}."),
    )
    return whole if as_ is Format.CSV else NDJSON.format(whole=whole)


def edition(*repositories: ModuleType) -> str:
    """A hash that changes with any query or document: tags of older answers no longer match."""
    parts = [FIND, EXISTS, ROWS, PART, FIELDS, COUNT, WHOLE, NDJSON, FORMULA]
    for module in repositories:
        for name, value in vars(module).items():
            if isinstance(value, Mart):
                parts += [repr(value), value.shown_columns]
            elif isinstance(value, Lookup | Listing) or (name.isupper() and isinstance(value, str)):
                parts.append(repr(value))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def harmless(name: str) -> str:
    """A text as CSV shows it: marked, if a spreadsheet would run it as a formula."""
    return MARK + name if name[:1] in FORMULA and name else name


def _in_csv(mart: Mart, name: str, *, is_alone: bool) -> str:
    """A column as CSV has it: with the values of JSON, and texts that no spreadsheet runs."""
    column = quoted(name)
    shown, kind = column, mart.column_type(name)[0]
    if kind is str:
        codes = ", ".join(str(ord(one)) for one in FORMULA)
        marked = f"'{MARK * 2}' || {column}"
        shown = f"case when ascii({column}) in ({codes}) then {marked} else {column} end"
    elif kind is bool:
        shown = f"{column}::text"
    elif kind is datetime:
        shown = mart.shown(name)
    if is_alone:
        # Readers skip a line with nothing in it.
        shown = f"coalesce(({shown})::text, '')"
    return f"{shown} as {quoted(harmless(name))}"


def _conditions(
    listing: Listing[K], schema: str, filters: Sequence[tuple[str, bool]], first_place: int = 1
) -> list[str]:
    given = [listing.within] if listing.within else []
    given += [listing.condition(name, takes_several=several) for name, several in filters]
    return [
        text.format(f"${place}", release=quoted(schema))
        for place, text in enumerate(given, start=first_place)
    ]


def _table(listing: Listing[K], schema: str) -> str:
    return f"{quoted(schema)}.{quoted(listing.mart.table)}"


def _order(listing: Listing[K], sort: str, of: str) -> str:
    """The order by a sort; with its table, since a name alone could mean what is selected."""
    columns = listing.order(sort)
    direction = "desc" if sort.startswith("-") else "asc"
    last = " nulls last" if listing.mart.column_type(columns[0])[1] else ""
    return ", ".join(
        f"{of}{quoted(name)} {direction}{last if name == columns[0] else ''}" for name in columns
    )


def _shape(filters: Mapping[str, Any]) -> tuple[tuple[str, bool], ...]:
    return tuple((name, isinstance(value, list)) for name, value in filters.items())


def _single(value: object) -> object:
    """The one value of a list of one; of names, each in a list of its readings, the only one."""
    match value:
        case [[one]] | [one] if not isinstance(one, list):
            return one
    return value
