"""The retailer: what is the same for all households and at any scale.

Belongs here: putting its parts together. Does not belong here: the parts (`catalogue`, `stores`,
`support`, `campaigns`), and households (`traits`).
"""

from dataclasses import dataclass

from sample.household.campaigns import Campaigns, make_campaigns
from sample.household.catalogue import Catalogue, make_catalogue
from sample.household.stores import Stores, make_stores
from sample.household.support import Support, make_support


@dataclass(frozen=True)
class Retailer:
    """The parts of a retailer, and the seed that made them."""

    seed: int
    catalogue: Catalogue
    stores: Stores
    support: Support
    campaigns: Campaigns


def make_retailer(seed: int) -> Retailer:
    """The retailer of a seed."""
    catalogue = make_catalogue(seed)
    return Retailer(
        seed=seed,
        catalogue=catalogue,
        stores=make_stores(seed),
        support=make_support(seed, catalogue),
        campaigns=make_campaigns(seed, catalogue),
    )
