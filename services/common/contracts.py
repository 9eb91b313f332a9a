"""The contracts of the marts: those that this checkout has, and those that a release carries.

Belongs here: reading `pollux.contracts` from either place. Does not belong here: what documents
are made of them.
"""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

from pollux.contracts import Contract, read_contract, read_contracts
from services.common.database import Database
from services.common.releases import Release

OF_RELEASE = """
select contract::text from release.contracts where domain = $1 and number = $2 order by mart
"""


def contract_of(domain: str, mart: str) -> Contract:
    """The contract of a mart in this checkout; needs no database. Raises `KeyError`."""
    return _contracts()[domain, mart]


async def contracts_of(database: Database, release: Release) -> Mapping[str, Contract]:
    """The contracts of a release's marts by name; none of a release from before there were any."""
    rows = await database.fetch(OF_RELEASE, release.domain, release.number)
    contracts = [read_contract(contract) for (contract,) in rows]
    return {contract.name: contract for contract in contracts}


@lru_cache(maxsize=1)
def _contracts() -> Mapping[tuple[str, str], Contract]:
    text = files("services.common").joinpath("contracts.json").read_bytes()
    return {(one.domain, one.name): one for one in read_contracts(text)}
