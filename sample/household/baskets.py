"""What is bought on each trip: favourites in their own rhythm, and discoveries.

Belongs here: which product goes into which basket. Both kinds of purchase are proposed more often
than they happen and kept with a probability that grows with support, lower prices and season, so
that promotions truly raise demand.
"""

from dataclasses import dataclass

import numpy as np

from sample.household.calendar import season_factors
from sample.household.catalogue import CLUSTERS
from sample.household.chance import Flags, Floats, Ints, Purpose, expand, generator
from sample.household.retailer import Retailer
from sample.household.support import LIFT_CAP
from sample.household.traits import Traits
from sample.household.trips import Trips

_PERIOD = 24.0  # days between purchases of the median favourite
_PERIOD_SPREAD = 0.55
_REGULARITY = 6.0  # shape of the gamma that intervals follow; higher is more regular
_FAVOURITE_KEPT = 0.66  # probability that a favourite at its usual price is bought when due
_FAVOURITES_PER_LINE = 0.0427  # favourites over expected lines in two years
_DISCOVERIES = 1.7  # proposals over expected lines
_DUE_AT_MAIN_TRIP = 0.72
_STEADY_FAVOURITES = 0.7  # bought from the first day to the last
_SECOND_TASTE = 0.25  # of favourites


@dataclass(frozen=True)
class Purchases:
    """Products put into baskets: trip and product positions."""

    trip: Ints
    product: Ints


def make_purchases(retailer: Retailer, traits: Traits, trips: Trips) -> Purchases:
    """All ordinary purchases of a batch; the same product may be in a basket twice."""
    favourites = _favourites(retailer, traits, trips)
    discoveries = _discoveries(retailer, traits, trips)
    return Purchases(
        np.concatenate([favourites.trip, discoveries.trip]),
        np.concatenate([favourites.product, discoveries.product]),
    )


def _favourites(retailer: Retailer, traits: Traits, trips: Trips) -> Purchases:
    rng = generator(retailer.seed, Purpose.FAVOURITES, traits.part)
    catalogue, support = retailer.catalogue, retailer.support
    days = np.maximum(traits.end - traits.start, 1)
    # Households that shop seldom rebuy seldom.
    pace = np.clip((0.17 / traits.trips_a_day) ** 0.6, 0.6, 3.5)
    lines = traits.trips_a_day * 600 * traits.lines_a_trip
    counts = np.clip(np.round(lines * _FAVOURITES_PER_LINE * pace), 4, 500).astype(np.int64)
    household, _ = expand(counts)
    second = rng.random(household.size) < _SECOND_TASTE
    product = catalogue.draw(rng, traits.clusters[household, second.astype(np.int64)])
    period: Floats = _PERIOD * pace[household] * rng.lognormal(0.0, _PERIOD_SPREAD, household.size)
    period = np.maximum(np.minimum(period, 200.0), 4.0)

    # Some favourites are found late, some are given up.
    first, last = traits.start[household] + 0.0, traits.end[household] + 0.0
    change = rng.random(household.size)
    point = first + rng.random(household.size) * days[household]
    late = change > (1 + _STEADY_FAVOURITES) / 2
    given_up = ~late & (change > _STEADY_FAVOURITES)
    first, last = np.where(late, point, first), np.where(given_up, point, last)

    repeats = np.ceil((last - first) / period * 1.5).astype(np.int64) + 3
    owner, nth = expand(repeats)
    gaps = period[owner] * rng.gamma(_REGULARITY, 1 / _REGULARITY, owner.size)
    gaps = np.where(nth == 0, gaps * rng.random(owner.size), gaps)
    running = np.cumsum(np.round(gaps * 1000).astype(np.int64))
    before = (running - np.round(gaps * 1000).astype(np.int64))[np.cumsum(repeats) - repeats]
    due = first[owner] + (running - before[owner]) / 1000
    in_time = due <= last[owner]
    owner, due = owner[in_time], np.ceil(due[in_time]).astype(np.int64)

    # A favourite that is due is bought on the next main trip, or on the next of any kind.
    clock = trips.household * 1000 + trips.day
    any_trip = np.flatnonzero(~trips.is_for_gasoline)
    main_trip = np.flatnonzero(trips.is_main)
    when = household[owner] * 1000 + due
    nearest = _next(clock, any_trip, when)
    main = _next(clock, main_trip, when)
    trip = np.where(rng.random(owner.size) < _DUE_AT_MAIN_TRIP, main, nearest)
    kept = trip >= 0
    kept &= trips.household[trip] == household[owner]
    trip, bought = trip[kept], product[owner[kept]]
    lift = support.lift(catalogue, bought, trips.store[trip], trips.week[trip])
    season = season_factors()[catalogue.season[bought], trips.week[trip]]
    kept = rng.random(trip.size) < np.minimum(_FAVOURITE_KEPT * lift, 1.0) * season
    return Purchases(trip[kept], bought[kept])


def _next(clock: Ints, among: Ints, when: Ints) -> Ints:
    """The first trip of `among` at or after each time, -1 where there is none."""
    if among.size == 0:
        return np.full(when.size, -1)
    found = np.searchsorted(clock[among], when)
    return np.where(found < among.size, among[np.minimum(found, among.size - 1)], -1)


def _discoveries(retailer: Retailer, traits: Traits, trips: Trips) -> Purchases:
    rng = generator(retailer.seed, Purpose.DISCOVERIES, traits.part)
    catalogue, support = retailer.catalogue, retailer.support
    expected = traits.lines_a_trip[trips.household] * trips.size * _DISCOVERIES
    # Every household finds something on its first trip.
    first = np.diff(trips.household, prepend=-1) > 0
    expected = np.where(trips.is_for_gasoline, 0.0, expected)
    trip, nth = expand(rng.poisson(expected) + first)
    household = trips.household[trip]
    cluster = _follow(rng, traits, household)
    product = catalogue.draw(rng, cluster)
    lift = support.lift(catalogue, product, trips.store[trip], trips.week[trip])
    season = season_factors()[catalogue.season[product], trips.week[trip]]
    kept = rng.random(trip.size) * LIFT_CAP < lift * season
    kept |= first[trip] & (nth == 0)
    return Purchases(trip[kept], product[kept])


def _follow(rng: np.random.Generator, traits: Traits, household: Ints) -> Ints:
    """The taste that each discovery follows: the main one, the second one, or any."""
    draw: Floats = rng.random(household.size)
    devotion = traits.devotion[household]
    main: Flags = draw < devotion
    second: Flags = ~main & (draw < devotion + (1 - devotion) / 2)
    anybody = rng.integers(0, CLUSTERS, household.size)
    return np.where(
        main,
        traits.clusters[household, 0],
        np.where(second, traits.clusters[household, 1], anybody),
    )
