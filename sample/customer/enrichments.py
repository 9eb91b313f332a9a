"""What belongs to accounts: broadband lines over the years, the first order, the cashback card.

Belongs here: schema and rows of each file whose rows belong to an account. Does not belong here:
the accounts, with the services that they ordered at sign-up (`accounts`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sample.chance import Floats, Ints, expand, generator
from sample.columns import NOTHING, WORDS, dates, day, words
from sample.customer.accounts import (
    BROADBAND,
    EXTRACT_DAY,
    MOBILE,
    SERVICES,
    Accounts,
    Base,
)
from sample.customer.chance import Purpose

BROADBAND_SCHEMA = pa.schema(
    [
        ("account_number", pa.int64()),
        ("service_number", pa.int64()),
        ("package", WORDS),
        ("speed_mbps", pa.int64()),
        ("monthly_price", pa.float64()),
        ("start_date", pa.date32()),
        ("end_date", pa.date32()),
    ]
)
INITIAL_SERVICES_SCHEMA = pa.schema(
    [
        ("account_number", pa.int64()),
        ("service", WORDS),
        ("quantity", pa.int64()),
        ("ordered_date", pa.date32()),
    ]
)
CASHBACK_SCHEMA = pa.schema(
    [
        ("account_number", pa.int64()),
        ("cashback_month", pa.date32()),
        ("card_spend", pa.float64()),
        ("cashback_amount", pa.float64()),
    ]
)


@dataclass(frozen=True)
class _Package:
    """A package: its price in cents in the first year it was sold, and its share by era."""

    name: str
    speed: int
    price: int
    shares: tuple[float, float, float, float]


# Copper, then fibre to the cabinet, then to the house.
_ERAS = (day("2011-06-01"), day("2017-01-01"), day("2021-03-01"))
_PACKAGES = (
    _Package("Broadband", 8, 1599, (0.75, 0.22, 0.05, 0.0)),
    _Package("Broadband Plus", 17, 1899, (0.25, 0.28, 0.14, 0.03)),
    _Package("Fibre", 38, 2299, (0.0, 0.34, 0.43, 0.21)),
    _Package("Fibre Plus", 76, 2699, (0.0, 0.16, 0.31, 0.22)),
    _Package("Full Fibre 150", 150, 2899, (0.0, 0.0, 0.05, 0.28)),
    _Package("Full Fibre 500", 500, 3299, (0.0, 0.0, 0.02, 0.18)),
    _Package("Full Fibre 900", 900, 4299, (0.0, 0.0, 0.0, 0.08)),
)
_PRICE_DAY = day("2010-01-01")
_PRICE_RISE = 0.012  # a year
_FIRST_SERVICE = 30_000_000
_LATER_SHARE = 0.03
_MOST_PACKAGES = 6
_GAVE_UP_SHARE = 0.07

_TWO_METERS_SHARE = 0.01
_SEVERAL_SIMS_SHARE = 0.35
_ORDERED_LATER_SHARE = 0.06

_CARD_SHARE = 0.077
_CARDS_FROM = 540  # months since 1970: January 2015
_FIRST_MONTH, _LAST_MONTH = 648, 671  # January 2024 and December 2025
_SPENT_NOTHING = 0.06
_PARTNER_SHOPS_SHARE = 0.4
_DECEMBER = 11
_MOST_SPEND = 500_000
_MOST_CASHBACK = 6000
_KNOWN_CARD = 626  # March 2022


def broadband_batches(base: Base) -> Iterator[pa.RecordBatch]:
    """Rows of broadband_services, by account and start."""
    number = _FIRST_SERVICE
    for chunk, accounts in base.chunks():
        batch = _broadband(base.seed, chunk, accounts, number)
        number += batch.num_rows
        yield batch


def initial_service_batches(base: Base) -> Iterator[pa.RecordBatch]:
    """Rows of initial_services, by account and service."""
    for chunk, accounts in base.chunks():
        random = generator(base.seed, Purpose.INITIAL_SERVICES, chunk)
        place, service = np.nonzero(accounts.ordered)
        quantity = np.where(random.random(place.size) < _TWO_METERS_SHARE, 2, 1)
        sims = 1 + random.geometric(0.62, place.size)
        several = (service == MOBILE) & (random.random(place.size) < _SEVERAL_SIMS_SHARE)
        quantity = np.where(several, np.minimum(sims, 6), quantity)
        quantity = np.where(service == BROADBAND, 1, quantity)
        later = np.where(
            random.random(place.size) < _ORDERED_LATER_SHARE, random.integers(1, 7, place.size), 0
        )
        ordered = np.minimum(accounts.signed_up[place] + later, EXTRACT_DAY)
        columns = [
            pa.array(accounts.number[place]),
            words(service, SERVICES),
            pa.array(quantity),
            dates(ordered),
        ]
        yield pa.record_batch(columns, schema=INITIAL_SERVICES_SCHEMA)


def cashback_batches(base: Base) -> Iterator[pa.RecordBatch]:
    """Rows of cashback: the last two years' months, by account and month."""
    for chunk, accounts in base.chunks():
        yield _cashback(base.seed, chunk, accounts)


def _broadband(seed: int, chunk: int, accounts: Accounts, number: int) -> pa.RecordBatch:
    random = generator(seed, Purpose.BROADBAND, chunk)
    size = accounts.number.size
    first = accounts.live + np.where(
        accounts.ordered[:, BROADBAND], 0, random.integers(60, 1800, size)
    )
    takes = accounts.ordered[:, BROADBAND] | (random.random(size) < _LATER_SHARE)
    takes &= (accounts.live != NOTHING) & (first < accounts.ends)
    place = np.flatnonzero(takes)

    # Days each package is kept; the last one ends with the account, or sooner.
    kept = random.integers(720, 2900, (place.size, _MOST_PACKAGES))
    starts = first[place, None] + np.cumsum(kept, axis=1) - kept
    many = np.maximum((starts < accounts.ends[place, None]).sum(axis=1), 1)
    gave_up = random.random(place.size) < _GAVE_UP_SHARE
    gave_up &= ~np.isin(place, accounts.known)
    owner, turn = expand(many)
    is_last = turn == many[owner] - 1
    start = starts[owner, turn]
    stop = start + kept[owner, turn]
    end = accounts.ends[place[owner]]
    has_end = ~is_last | (accounts.churned[place[owner]] != NOTHING)
    sooner = is_last & gave_up[owner] & (start + 60 < end)
    end = np.where(sooner, start + 30 + (random.random(owner.size) * (end - start - 30)), end)
    end = np.where(is_last, end, stop - 1).astype(np.int64)

    package = _packages(random.random(owner.size), start)
    years = np.maximum(start - _PRICE_DAY, 0) / 365.25
    cents = np.array([one.price for one in _PACKAGES])[package] * (1 + _PRICE_RISE * years)
    columns = [
        pa.array(accounts.number[place[owner]]),
        pa.array(number + np.arange(owner.size)),
        words(package, [one.name for one in _PACKAGES]),
        pa.array(np.array([one.speed for one in _PACKAGES])[package]),
        pa.array((np.floor(cents / 100) * 100 + 99) / 100),
        dates(start),
        dates(np.where(has_end | sooner, end, NOTHING)),
    ]
    return pa.record_batch(columns, schema=BROADBAND_SCHEMA)


def _packages(draws: Floats, start: Ints) -> Ints:
    shares = np.array([one.shares for one in _PACKAGES]).T
    bounds = np.cumsum(shares, axis=1)[:, :-1]
    era = np.searchsorted(_ERAS, start, side="right")
    result: Ints = (draws[:, None] >= bounds[era]).sum(axis=1)
    return result


def _cashback(seed: int, chunk: int, accounts: Accounts) -> pa.RecordBatch:
    random = generator(seed, Purpose.CASHBACK, chunk)
    size = accounts.number.size
    carded = (random.random(size) < _CARD_SHARE) & (accounts.live != NOTHING)
    carded[accounts.known] = True
    # A card starts at least a month after the account, often much later.
    since = np.maximum(_month(accounts.live) + 1, random.integers(_CARDS_FROM, 672, size))
    since[accounts.known] = _KNOWN_CARD
    usual = 26_000 * np.exp(random.normal(0, 0.65, size))

    first = np.maximum(since, _FIRST_MONTH)
    last = np.minimum(_month(accounts.ends), _LAST_MONTH)
    months = np.where(carded, np.maximum(last - first + 1, 0), 0)
    owner, turn = expand(months)
    spent = random.random(owner.size) >= _SPENT_NOTHING
    owner, month = owner[spent], (first[owner] + turn)[spent]
    december = np.where(month % 12 == _DECEMBER, 1.3, 1.0)
    spend = usual[owner] * december * np.exp(random.normal(0, 0.4, owner.size))
    # One percent, and more at partner shops.
    partners = random.random(owner.size) < _PARTNER_SHOPS_SHARE
    rate = 0.01 + np.where(partners, 0.03 * random.random(owner.size), 0.0)
    cents = np.clip(np.floor(spend), 100, _MOST_SPEND)
    columns = [
        pa.array(accounts.number[owner]),
        dates(month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)),
        pa.array(cents / 100),
        pa.array(np.minimum(np.floor(cents * rate), _MOST_CASHBACK) / 100),
    ]
    return pa.record_batch(columns, schema=CASHBACK_SCHEMA)


def _month(days: Ints) -> Ints:
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
