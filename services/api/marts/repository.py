"""What the API reads from any mart of a release, by the contract that the release carries.

Belongs here: the contracts of the current releases, a page of a mart, and the problems of unknown
names. Does not belong here: HTTP, and what a request may ask for (`schemas`).

Names come from contracts only, and are quoted; values are always parameters.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

import orjson

from pollux.contracts import Contract
from pollux.types import LABEL_LENGTH
from services.api.listing import Listing
from services.api.marts.schemas import (
    MartSchema,
    MartSummary,
    filters_of,
    read_query,
    schema_of,
    summary_of,
)
from services.api.queries import Mart
from services.common.answers import ReleaseUnreadableError
from services.common.contracts import contracts_of
from services.common.copying import Copying
from services.common.database import Database
from services.common.formats import Format
from services.common.paging import page
from services.common.problems import ProblemError, not_found
from services.common.releases import Release


def unknown_domain(domain: str, known: Sequence[str]) -> ProblemError:
    """No domain of that name has a release."""
    return not_found(
        "unknown-domain",
        f"No release of a domain {domain[:LABEL_LENGTH]}; there are releases of {_listed(known)}.",
    )


def unknown_mart(domain: str, mart: str, known: Sequence[str]) -> ProblemError:
    """The release has no such mart."""
    return not_found(
        "unknown-mart",
        f"No mart {mart[:LABEL_LENGTH]} in {domain}; its marts are {_listed(known)}.",
    )


def no_parquet(release: str, mart: str) -> ProblemError:
    """The file of a mart is not where the API runs."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "no-parquet",
        "No Parquet here",
        f"{mart} of {release} is not kept as Parquet where this API runs: releases leave their "
        "files in the data folder of the installation that makes them. The rows are served as CSV "
        "and NDJSON, too.",
        headers={"X-Pollux-Release": release},
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

    async def find_parquet(
        self, database: Database, release: Release, folder: Path, mart: str
    ) -> Path:
        """The file of a mart in the folder of releases; raises a problem if there is none."""
        contract = await self._contract(database, release, mart)
        file = folder / release.domain / f"r{release.number}" / f"{contract.name}.parquet"
        if not file.is_file():
            raise no_parquet(release.name, contract.name)
        return file

    async def read_page(
        self, database: Database, release: Release, mart: str, asked: Sequence[tuple[str, str]]
    ) -> bytes:
        """Rows of a mart that match the filters, a page at a time.

        Raises a problem for an unknown mart, for a parameter that it does not take, and for a
        `next` of another list.
        """
        listing = listing_of(await self._contract(database, release, mart))
        query, filters = read_query(listing.mart.contract, asked)
        return await listing.read(database, release, query, None, filters)

    async def copy(
        self,
        database: Database,
        release: Release,
        as_: Format,
        mart: str,
        asked: Sequence[tuple[str, str]],
    ) -> Copying:
        """All rows that match the filters, as they begin to come; raises as `read_page` does."""
        listing = listing_of(await self._contract(database, release, mart))
        query, filters = read_query(listing.mart.contract, asked)
        return await listing.copy(database, release, as_, query, None, filters)

    async def _contract(self, database: Database, release: Release, mart: str) -> Contract:
        contracts = await self.contracts(database, release)
        if mart not in contracts:
            raise unknown_mart(release.domain, mart, tuple(contracts))
        return contracts[mart]


@lru_cache(maxsize=256)
def listing_of(contract: Contract) -> Listing[str]:
    """A mart's rows in the order of its key, filtered by what its contract allows."""
    mart = Mart(contract.domain, contract.name, contract)
    equal = filters_of(contract)
    return Listing(
        name=f"{contract.domain}.{contract.name}",
        mart=mart,
        key=contract.key,
        equal=equal,
        names={name: (mart,) for name in equal if mart.column_type(name)[0] is str},
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names))
