"""The contracts of the marts: those of this checkout, and those that a release carries."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files

from pollux.contracts import Column, Contract, read_contract, read_contracts
from services.common.database import Database
from services.common.releases import Release

TYPES: Mapping[str, type] = {
    "bigint": int,
    "integer": int,
    "decimal": Decimal,
    "double precision": float,
    "boolean": bool,
    "text": str,
    "date": date,
    "timestamp": datetime,
}

OF_RELEASE = """
select contract::text from release.contracts where domain = $1 and number = $2 order by mart
"""


def contract_of(domain: str, mart: str) -> Contract:
    """The contract of a mart in this checkout; needs no database. Raises `KeyError`."""
    return _contracts()[domain, mart]


async def contracts_of(database: Database, release: Release) -> Mapping[str, Contract]:
    """The contracts of a release's marts by name; none if the release is older than contracts."""
    rows = await database.fetch(OF_RELEASE, release.domain, release.number)
    contracts = [read_contract(contract) for (contract,) in rows]
    return {contract.name: contract for contract in contracts}


def python_type(column: Column) -> type:
    """The Python type of a column's values; `str` for types that are not in `TYPES`."""
    return TYPES.get(column.data_type.partition("(")[0], str)


@cache
def _contracts() -> Mapping[tuple[str, str], Contract]:
    text = files("services.common").joinpath("contracts.json").read_bytes()
    return {(one.domain, one.name): one for one in read_contracts(text)}
