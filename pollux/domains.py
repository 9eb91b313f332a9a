"""The domains whose customers the gateway reads: the mart that lists them, and its key.

Belongs here: how an id of a domain is written. Does not belong here: columns, which the classes in
`pollux.customer` declare.
"""

from dataclasses import dataclass

import pyarrow as pa

from pollux.errors import GatewayError, UnknownCustomer
from pollux.names import read_name
from pollux.rules import text_key
from pollux.types import UnfitError
from pollux.values import read_id


@dataclass(frozen=True)
class Domain:
    """A domain with customers; `has_numbers` tells whether its ids are numbers in the mart."""

    name: str
    table: str
    id_column: str
    has_numbers: bool = True

    def key(self, customer_id: object) -> int | str:
        """An id as the mart holds it, from any spelling that loses nothing.

        Raises `UnknownCustomer`, which says why, for what cannot be one.
        """
        try:
            found = read_id(customer_id) if self.has_numbers else read_name(customer_id)
        except UnfitError as error:
            raise self.unknown(customer_id, str(error)) from None
        if found is None:
            raise self.unknown(customer_id)
        if isinstance(found, int):
            return found
        return text_key(found)

    def array(self, keys: list[int | str]) -> pa.Array:
        """Keys as an Arrow array of the mart's type."""
        return pa.array(keys, pa.int64() if self.has_numbers else pa.string())

    def unknown(self, customer_id: object, why: str = "") -> UnknownCustomer:
        """The error for an id that no customer has."""
        reason = f": {why}" if why else ""
        return UnknownCustomer(
            f"No customer of domain {self.name} has the id {customer_id!r}{reason}."
        )


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
