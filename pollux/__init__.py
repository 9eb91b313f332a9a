"""The Python side of Pollux that everything else may import.

Belongs here: the gateway to customers and, in `runtime`, what every process shares. Does not
belong here: anything that imports dagster, dbt, fastapi or the packages above this one.

The gateway's names are imported on first use: loading pyarrow and psycopg takes longer than most
programs that only use `pollux.runtime` run.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    raise ImportError("Pollux runs on Linux and macOS; on Windows, use WSL.")

if TYPE_CHECKING:
    from pyarrow.compute import field as col

    from pollux.cohort import Cohort as Cohort
    from pollux.customer import Customer, Household, Member, StoreCustomer
    from pollux.enrichment import EnrichmentData, TableEnrichment, registry
    from pollux.errors import (
        GatewayError,
        NoDatabaseError,
        NothingReleasedError,
        ReleaseGoneError,
        UnknownColumn,
        UnknownCustomer,
        UnknownEnrichment,
    )

__all__ = [
    "Cohort",
    "Customer",
    "EnrichmentData",
    "GatewayError",
    "Household",
    "Member",
    "NoDatabaseError",
    "NothingReleasedError",
    "ReleaseGoneError",
    "StoreCustomer",
    "TableEnrichment",
    "UnknownColumn",
    "UnknownCustomer",
    "UnknownEnrichment",
    "col",
    "registry",
]

_HOMES = {
    "Cohort": "pollux.cohort",
    "EnrichmentData": "pollux.enrichment",
    "TableEnrichment": "pollux.enrichment",
    "registry": "pollux.enrichment",
    **dict.fromkeys(("Customer", "Household", "Member", "StoreCustomer"), "pollux.customer"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pollux' has no attribute {name!r}")
    if name == "col":
        value = import_module("pyarrow.compute").field
    else:
        value = getattr(import_module(_HOMES.get(name, "pollux.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
