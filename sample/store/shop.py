"""The shop: what is the same for all customers and at any scale.

Belongs here: putting its parts together. Does not belong here: the parts (`catalogue`, `coupons`),
and customers (`shoppers`).
"""

from dataclasses import dataclass

from sample.store.catalogue import Catalogue, make_catalogue
from sample.store.coupons import Coupons, make_coupons


@dataclass(frozen=True)
class Shop:
    """The products and coupons of a shop, and the seed that made them."""

    seed: int
    catalogue: Catalogue
    coupons: Coupons


def make_shop(seed: int) -> Shop:
    """The shop of a seed."""
    catalogue = make_catalogue(seed)
    return Shop(seed=seed, catalogue=catalogue, coupons=make_coupons(seed, catalogue))
