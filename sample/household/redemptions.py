"""Who is sent which campaign, what they buy because of it, and which coupons they redeem.

Belongs here: what households do because of a campaign. Does not belong here: the campaigns and
their coupons (`campaigns`), ordinary purchases (`baskets`), and what a coupon takes off a line
(`prices`).
"""

from dataclasses import dataclass

import numpy as np

from sample.household.campaigns import CAMPAIGNS, Coupon
from sample.household.chance import Flags, Ints, Purpose, expand, generator
from sample.household.retailer import Retailer
from sample.household.traits import FIRST_HOUSEHOLD, Traits
from sample.household.trips import Trips

_HOUSEHOLDS_PLANNED = 2500
_THERE = 0.95  # share of households that shop when a campaign starts
_MOST = 0.97
_LIKING_MEAN = 0.71  # over all households, those that are never mailed included
_EXTRA_PER_LINE = 0.07  # lines that a big campaign adds, over the lines of its time
_EXTRA_LINES = 0.4  # lines that a small campaign adds
_RESPONDS = {"TypeA": 0.5, "TypeB": 0.24, "TypeC": 0.16}  # of those who use coupons
_COUPONS_MEAN = {"TypeA": 2.9, "TypeB": 2.3, "TypeC": 1.7}
_NOT_ON_A_LINE = 0.06


@dataclass(frozen=True)
class Responses:
    """The effects of a batch's campaigns."""

    sent: Ints  # rows of (position in CAMPAIGNS, household)
    trip: Ints  # lines added: trip, product, value of the coupon in cents (0 is none)
    product: Ints
    cents: Ints
    redeemed: Ints  # rows of (household, day, coupon, campaign)


def make_responses(retailer: Retailer, traits: Traits, trips: Trips) -> Responses:
    """Targets, added purchases and redemptions of a batch of households."""
    campaigns = retailer.campaigns
    sent = _targets(generator(retailer.seed, Purpose.TARGETS, traits.part), traits)
    rng = generator(retailer.seed, Purpose.REDEMPTIONS, traits.part)
    shopping = np.flatnonzero(~trips.is_for_gasoline)
    clock = trips.household[shopping] * 1000 + trips.day[shopping]
    added: list[Ints] = []
    redeemed: list[Ints] = []
    for position, plan in enumerate(CAMPAIGNS):
        household = np.flatnonzero(sent[:, position])
        low = np.searchsorted(clock, household * 1000 + plan.start)
        high = np.searchsorted(clock, household * 1000 + plan.end, side="right")
        household, low, high = household[high > low], low[high > low], high[high > low]

        lines = (high - low) * traits.lines_a_trip[household] * _EXTRA_PER_LINE
        rate = lines if plan.kind == "TypeA" else np.full(household.size, _EXTRA_LINES)
        owner, _ = expand(rng.poisson(rate))
        trip = shopping[_between(rng, low[owner], high[owner])]
        draw = np.searchsorted(campaigns.wanted_sums[position], rng.random(owner.size))
        bought = campaigns.wanted[position]
        bought = bought[np.minimum(draw, bought.size - 1)]
        extra = np.column_stack([trip, bought, np.zeros(trip.size, np.int64)])

        mean = _COUPONS_MEAN[plan.kind]
        answers = traits.uses_coupons[household] & (
            (rng.random(household.size) < _RESPONDS[plan.kind])
            | (traits.key[household] == FIRST_HOUSEHOLD)
        )
        owner, _ = expand(np.where(answers, rng.geometric(1 / mean, household.size), 0))
        trip = shopping[_between(rng, low[owner], high[owner])]
        upc, bought, cents = _coupons(rng, campaigns.coupons[position], owner.size)
        rows = np.column_stack(
            [
                traits.key[trips.household[trip]],
                trips.day[trip],
                upc,
                np.full(trip.size, plan.campaign),
            ]
        )
        _, first = np.unique(rows, axis=0, return_index=True)
        first = np.sort(first)
        on_line = first[rng.random(first.size) >= _NOT_ON_A_LINE]
        redeemed.append(rows[first])
        added.append(np.column_stack([trip, bought, cents])[on_line])
        added.append(extra)
    # Lines with a coupon come first: they win where a product is in a basket already.
    every: Ints = np.concatenate(added)
    every = every[np.argsort(every[:, 2] == 0, kind="stable")]
    households, positions = np.nonzero(sent)
    return Responses(
        sent=np.column_stack([positions, traits.key[households]]),
        trip=every[:, 0],
        product=every[:, 1],
        cents=every[:, 2],
        redeemed=np.concatenate(redeemed),
    )


def _targets(rng: np.random.Generator, traits: Traits) -> Flags:
    """Households by CAMPAIGNS: better customers are sent more campaigns."""
    liking = np.where(traits.is_mailed, (0.5 + traits.activity) / _LIKING_MEAN, 0.0)
    sent = np.zeros((traits.key.size, len(CAMPAIGNS)), np.bool_)
    for position, plan in enumerate(CAMPAIGNS):
        share = plan.households / _HOUSEHOLDS_PLANNED / _THERE
        chosen = rng.random(traits.key.size) < np.minimum(share * liking, _MOST)
        if plan.kind == "TypeA":
            chosen |= traits.key == FIRST_HOUSEHOLD
        sent[:, position] = chosen & (traits.start <= plan.start) & (traits.end >= plan.start)
    return sent


def _between(rng: np.random.Generator, low: Ints, high: Ints) -> Ints:
    return low + np.floor(rng.random(low.size) * (high - low)).astype(np.int64)


def _coupons(rng: np.random.Generator, coupons: list[Coupon], many: int) -> tuple[Ints, Ints, Ints]:
    """For each redemption its coupon, one of the coupon's products, and the value in cents."""
    which = np.floor(rng.random(many) ** 1.3 * len(coupons)).astype(np.int64)
    upc = np.array([coupon.upc for coupon in coupons])
    cents = np.array([coupon.cents for coupon in coupons])
    sizes = np.array([coupon.products.size for coupon in coupons])
    product = np.concatenate([coupon.products for coupon in coupons])
    starts = np.cumsum(sizes) - sizes
    within = np.floor(rng.random(many) ** 3 * sizes[which]).astype(np.int64)
    return upc[which], product[starts[which] + within], cents[which]
