"""What a released mart promises: its columns with types and descriptions, its key and its indexes.

The models' YAML declares the contract, and `orchestration.transform.graph` reads it from dbt's
manifest. It is then kept in two places: each release carries it beside its tables
(`release.contracts`, a row per mart), and `services/common/contracts.json` holds it for this
checkout's marts, for code that has no database at hand (`make contracts` writes the file,
`make check` says when it is stale). `services.common.contracts` reads both.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from pollux.personal import looks_personal


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a mart; its type is one of a closed list that both engines know.

    `identifies` is one of `pollux.personal.SUBJECTS`.
    """

    name: str
    data_type: str
    is_required: bool
    description: str = ""
    example: Any = None
    # Releases of before 2026-11-27 do not say it.
    personal: bool | None = None
    identifies: str | None = None

    @property
    def is_personal(self) -> bool:
        """Whether the values are personal data; by its name, where nobody has said so."""
        return looks_personal(self.name) if self.personal is None else self.personal


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A mart: what a row is, its columns in order, the columns of its key and of each index."""

    # Records of builds of before 2026-11-26 have neither domain nor description.
    domain: str = ""
    name: str
    description: str = ""
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> Column:
        """A column; raises `KeyError` where the mart has none of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def may_be_null(self, name: str) -> bool:
        """Whether the column may be null."""
        return not self.column(name).is_required and name not in self.key


def contract_json(contract: Contract) -> str:
    """A contract as a release carries it."""
    return _CONTRACT.dump_json(contract).decode()


def read_contract(text: str | bytes) -> Contract:
    """The contract that `contract_json` wrote."""
    return _CONTRACT.validate_json(text)


def read_contracts(text: str | bytes) -> tuple[Contract, ...]:
    """The contracts in a file of several."""
    return _CONTRACTS.validate_json(text)


_CONTRACT: TypeAdapter[Contract] = TypeAdapter(Contract)
_CONTRACTS: TypeAdapter[tuple[Contract, ...]] = TypeAdapter(tuple[Contract, ...])
