"""What the API reads from any mart of a release, by the contract that the release carries.

Belongs here: the contracts of the current releases, a page of a mart, and the problems of unknown
names. Does not belong here: HTTP, and what a request may ask for (`schemas`).

Names come from contracts only, and are quoted; values are always parameters.
"""

from collections.abc import Container, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson

from pollux.contracts import Contract
from pollux.types import LABEL_LENGTH
from services.api.marts.schemas import MartSchema, MartSummary, read_query, schema_of, summary_of
from services.api.names import meant_by, quoted
from services.api.queries import SQL_TYPES
from services.common.answers import ReleaseUnreadableError
from services.common.contracts import contracts_of, python_type
from services.common.database import Database
from services.common.paging import page, page_of_rows, read_next
from services.common.problems import ProblemError
from services.common.releases import Release

# The key comes as text beside each document: `next` is made from the last row's.
PAGE = """
select row_to_json(page)::text, {keys}
from (
    select {columns} from {release}.{table} where {conditions} order by {order} limit $1
) as page
order by {order_of_page}
"""


def unknown_domain(domain: str, known: Sequence[str]) -> ProblemError:
    """No domain of that name has a release."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "unknown-domain",
        "Unknown domain",
        f"No release of a domain {domain[:LABEL_LENGTH]}; there are releases of {_listed(known)}.",
    )


def unknown_mart(domain: str, mart: str, known: Sequence[str]) -> ProblemError:
    """The release has no such mart."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "unknown-mart",
        "Unknown mart",
        f"No mart {mart[:LABEL_LENGTH]} in {domain}; its marts are {_listed(known)}.",
    )


class Marts:
    """The marts of current releases; the contracts of a release are read once."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Release, Mapping[str, Contract]]] = {}

    async def contracts(self, database: Database, release: Release) -> Mapping[str, Contract]:
        """A release's contracts by mart; raises a problem if the release carries none."""
        kept = self._kept.get(release.domain)
        if kept is None or kept[0] is not release:
            contracts = await contracts_of(database, release)
            if not contracts:
                raise ReleaseUnreadableError(release)
            self._kept[release.domain] = kept = (release, contracts)
        return kept[1]

    async def read_summaries(
        self, database: Database, release: Release, prefix: str
    ) -> list[MartSummary]:
        """The marts of a release, by name; `prefix` comes before every path."""
        contracts = await self.contracts(database, release)
        return [summary_of(release.name, contract, prefix) for contract in contracts.values()]

    async def read_list(self, database: Database, release: Release, prefix: str) -> bytes:
        """The marts of a release, as one page."""
        found = await self.read_summaries(database, release, prefix)
        return page([orjson.dumps(one.model_dump()).decode() for one in found])

    async def read_schema(self, database: Database, release: Release, mart: str) -> bytes:
        """What a mart's contract says; raises a problem if the mart is unknown."""
        found: MartSchema = schema_of(await self._contract(database, release, mart))
        return orjson.dumps(found.model_dump())

    async def read_page(
        self, database: Database, release: Release, mart: str, asked: Sequence[tuple[str, str]]
    ) -> bytes:
        """Rows of a mart that match the filters, in the order of its key.

        Raises a problem for an unknown mart, for a parameter that it does not take, and for a
        `next` of another list.
        """
        contract = await self._contract(database, release, mart)
        query, filters = read_query(contract, asked)
        binding = repr((contract.domain, mart, contract.key, sorted(filters.items())))
        start: tuple[Any, ...] = ()
        if query.next is not None:
            kinds = [python_type(contract.column(name)) for name in contract.key]
            start = read_next(binding, query.next, kinds)
        sql = page_sql(contract, release.schema, tuple(filters), starts_after=bool(start))
        rows = await database.fetch(sql, query.limit + 1, *filters.values(), *start)
        # Other spellings are tried only if nothing is found as it was asked for.
        if not rows and (meant := await _meant(database, release, contract, filters)):
            filters |= meant
            several = page_sql(
                contract, release.schema, tuple(filters), starts_after=bool(start), several=meant
            )
            rows = await database.fetch(several, query.limit + 1, *filters.values(), *start)
        return page_of_rows(binding, rows, query.limit)

    async def _contract(self, database: Database, release: Release, mart: str) -> Contract:
        contracts = await self.contracts(database, release)
        if mart not in contracts:
            raise unknown_mart(release.domain, mart, tuple(contracts))
        return contracts[mart]


async def _meant(
    database: Database, release: Release, contract: Contract, filters: Mapping[str, Any]
) -> dict[str, list[str]]:
    """The spellings that text filters mean, where they differ from what was asked for."""
    meant = {}
    for name, asked in filters.items():
        if isinstance(asked, str) and python_type(contract.column(name)) is str:
            found = await meant_by(asked, database, release, [contract.name], name)
            if found and found != [asked]:
                meant[name] = found
    return meant


def page_sql(
    contract: Contract,
    schema: str,
    filters: Sequence[str],
    *,
    starts_after: bool,
    several: Container[str] = (),
) -> str:
    """The query of a page: its parameters are the limit, the filters' values and a key.

    Filters in `several` have lists of values.
    """
    places = iter(range(2, 2 + len(filters) + len(contract.key)))

    def parameter(name: str) -> str:
        return f"${next(places)}::{SQL_TYPES[python_type(contract.column(name))]}"

    conditions = [
        f"{quoted(name)} = any({parameter(name)}[])"
        if name in several
        else f"{quoted(name)} = {parameter(name)}"
        for name in filters
    ]
    key = [quoted(name) for name in contract.key]
    if starts_after:
        start = ", ".join(parameter(name) for name in contract.key)
        conditions.append(f"({', '.join(key)}) > ({start})")
    return PAGE.format(
        keys=", ".join(f"page.{name}::text" for name in key),
        columns=", ".join(quoted(column.name) for column in contract.columns),
        release=quoted(schema),
        table=quoted(contract.name),
        conditions=" and ".join(conditions) or "true",
        order=", ".join(key),
        # Without its table, a name would mean the text beside the document: 10 before 9.
        order_of_page=", ".join(f"page.{name}" for name in key),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))
