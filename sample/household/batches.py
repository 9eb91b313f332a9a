"""Households are made in batches, so that numpy has columns to work on.

Belongs here: how a batch is put together, and what of it is kept. Does not belong here: its parts
(`traits`, `trips`, `baskets`, `redemptions`, `prices`), and what all batches share (`retailer`).
"""

from dataclasses import dataclass

import numpy as np

from sample.household.baskets import make_purchases
from sample.household.chance import Ints
from sample.household.prices import Lines, make_lines
from sample.household.redemptions import make_responses
from sample.household.retailer import Retailer
from sample.household.traits import FIRST_HOUSEHOLD, Traits, make_traits
from sample.household.trips import basket_range, make_trips

BATCH = 100  # households made together, always in full, so that their number changes none of them


@dataclass(frozen=True)
class Batch:
    """What some neighbouring households did."""

    traits: Traits
    lines: Lines
    sent: Ints  # rows of (position in CAMPAIGNS, household)
    redeemed: Ints  # rows of (household, day, coupon, campaign)


def make_batch(retailer: Retailer, part: int, households: int) -> Batch:
    """Batch `part` of a retailer with this many households; lines are by basket."""
    keys = FIRST_HOUSEHOLD + part * BATCH + np.arange(BATCH)
    traits = make_traits(retailer, keys, part)
    trips = make_trips(retailer, traits, basket_range(households))
    purchases = make_purchases(retailer, traits, trips)
    responses = make_responses(retailer, traits, trips)
    lines = make_lines(retailer, traits, trips, purchases, responses)
    return Batch(
        traits=traits,
        lines=lines.take(np.flatnonzero(lines.household_key <= households)),
        sent=responses.sent[responses.sent[:, 1] <= households],
        redeemed=responses.redeemed[responses.redeemed[:, 0] <= households],
    )
