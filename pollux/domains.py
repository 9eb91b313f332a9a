"""The domains whose customers the gateway reads: the mart that lists them, and its key.

Belongs here: how an id of a domain is written. Does not belong here: columns, which the classes in
`pollux.customer` declare.
"""

from dataclasses import dataclass
from operator import index

import pyarrow as pa

from pollux.errors import GatewayError, UnknownCustomer
from pollux.rules import text_key

BIGINT = 2**63


@dataclass(frozen=True)
class Domain:
    """A domain with customers; `has_numbers` tells whether its ids are numbers in the mart."""

    name: str
    table: str
    id_column: str
    has_numbers: bool = True

    def key(self, customer_id: object) -> int | str:
        """An id as the mart holds it; raises `UnknownCustomer` for what cannot be one."""
        if not self.has_numbers:
            if isinstance(customer_id, str):
                return text_key(customer_id)
        elif not isinstance(customer_id, bool):
            try:
                number = int(customer_id) if isinstance(customer_id, str) else index(customer_id)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                raise self.unknown(customer_id) from None
            # One customer, one id: '007' and '1_0' are not how a number is written.
            if abs(number) < BIGINT and str(number) == str(customer_id):
                return number
        raise self.unknown(customer_id)

    def array(self, keys: list[int | str]) -> pa.Array:
        """Keys as an Arrow array of the mart's type."""
        return pa.array(keys, pa.int64() if self.has_numbers else pa.string())

    def unknown(self, customer_id: object) -> UnknownCustomer:
        """The error for an id that no customer has."""
        return UnknownCustomer(f"No customer of domain {self.name} has the id {customer_id!r}.")


DOMAINS = {
    domain.name: domain
    for domain in (
        Domain("customer", "customers", "account_number"),
        Domain("household", "household_rfm", "household_key"),
        Domain("store", "customer_info", "customer_id"),
        Domain("loyalty", "members", "email", has_numbers=False),
    )
}


def domain_named(name: str) -> Domain:
    """The domain of a name; raises `GatewayError` listing them where there is none."""
    try:
        return DOMAINS[name]
    except KeyError:
        raise GatewayError(
            f"There is no domain {name!r} with customers; there are: {', '.join(DOMAINS)}."
        ) from None
