"""The customer base of a utility supplier: who signed up, when and how, and who left.

Belongs here: rows of customer_accounts, and what the files about accounts must know of them. Does
not belong here: the rows of those other files (`enrichments`).

Accounts are numbered as they sign up, over 23 years, up to the day of the extract. A chunk of
them depends on the seed, the number of accounts and its place only, so that each file can make
the same accounts anew instead of keeping millions of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from sample.chance import Flags, Floats, Ints, generator
from sample.columns import NOTHING, WORDS, dates, day, numbers, pick, words
from sample.customer.chance import Purpose

CHUNK = 100_000
EXTRACT_DAY = day("2025-12-31")

KNOWN_ACCOUNT = 9_693_465
"""The account that documentation shows; it exists in every sample, live, with all enrichments."""

_KNOWN_SIGN_UP, _KNOWN_LIVE = day("2021-12-17"), day("2022-01-08")

STATUSES = ("Live", "Churned", "Pending", "Cancelled", "TML")
LIVE, CHURNED, PENDING, CANCELLED, TML = range(len(STATUSES))

SERVICES = ("electricity", "gas", "broadband", "mobile", "insurance")
ELECTRICITY, GAS, BROADBAND, MOBILE, INSURANCE = range(len(SERVICES))

SCHEMA = pa.schema(
    [
        ("account_number", pa.int64()),
        ("account_status", WORDS),
        ("sign_up_date", pa.date32()),
        ("churn_date", pa.date32()),
        ("first_service_live_date", pa.date32()),
        ("end_of_onboarding_period", pa.date32()),
        ("sign_up_source", WORDS),
        ("property_occupier_status_at_sign_up", WORDS),
        ("referral_type", WORDS),
        ("referral_type_code", WORDS),
        ("referrers_account_number", pa.int64()),
    ]
)

# Relative sign-ups of each year from 2003: slow years, and the energy crisis.
_FIRST_YEAR = 2003
_YEARS = (30, 36, 42, 50, 58, 66, 70, 62, 68, 84, 106, 104, 88, 82, 84, 80, 76, 62, 84, 178, 190,
          142, 134)  # fmt: skip
_MONTHS = (1.05, 1.02, 1.04, 0.95, 0.97, 0.96, 0.94, 0.92, 1.08, 1.14, 1.1, 0.83)
_WEEKDAYS = (1.12, 1.15, 1.12, 1.08, 1.0, 0.72, 0.5)  # Monday first
_NUMBERS = 8_000_000  # the range of account numbers, unless there are more accounts
_LOWEST_NUMBER = 1_000_000

_SOURCES = ("Partner", "Web", "Call centre", "Comparison site", "Event")
_SOURCE_SHARES = (0.63, 0.17, 0.08, 0.07, 0.05)
_OCCUPIERS = ("Owner", "Private tenant", "Social tenant", "Landlord")
_OCCUPIER_SHARES = (0.6, 0.24, 0.09, 0.03, 0.04)  # the last: not asked
_REFERRALS = ("Partner", "Customer", "Employee")
_REFERRAL_CODES = ("PAR", "CUS", "EMP")
PARTNER, CUSTOMER, EMPLOYEE = range(len(_REFERRALS))
# By source: no referral, and the types in their order.
_REFERRAL_SHARES = (
    (0.04, 0.95, 0.01, 0.0),
    (0.62, 0.0, 0.36, 0.02),
    (0.88, 0.0, 0.08, 0.04),
    (0.99, 0.0, 0.01, 0.0),
    (0.35, 0.6, 0.04, 0.01),
)
_ACCOUNTS_PER_PARTNER = 40
_SLOW_SHARE = 0.08
_TML_SHARE = 0.004
_CANCELLED_SHARE = 0.022
_CHURN_DAYS, _CHURN_SHAPE = 4200.0, 1.2
_LEAST_STAY = 28
_SERVICE_SHARES = (0.86, 0.68, 0.18, 0.26, 0.07)
_INSURANCE_FROM = day("2016-09-01")


@dataclass(frozen=True)
class Accounts:
    """A run of accounts, in the order of their numbers; days since 1970, `NOTHING` is null."""

    number: Ints
    status: Ints
    signed_up: Ints
    churned: Ints
    live: Ints
    ordered: Flags  # by account and service
    known: Ints  # position of the known account, if it is among these

    @property
    def ends(self) -> Ints:
        """The day of churn, else of the extract."""
        return np.where(self.churned == NOTHING, EXTRACT_DAY, self.churned)


@dataclass(frozen=True)
class Base:
    """How many accounts there are, and for which seed."""

    seed: int
    size: int

    def chunks(self) -> Iterator[tuple[int, Accounts]]:
        """The accounts in chunks, and the number of each chunk."""
        for chunk, start in enumerate(range(0, self.size, CHUNK)):
            yield chunk, self._make(chunk, np.arange(start, min(start + CHUNK, self.size)))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows of customer_accounts."""
        for chunk, accounts in self.chunks():
            yield self._batch(chunk, accounts)

    @cached_property
    def _curve(self) -> Floats:
        """The share of sign-ups up to each day since the first."""
        first = np.datetime64(f"{_FIRST_YEAR}-01-01", "D").astype(np.int64)
        days = np.arange(first, EXTRACT_DAY + 1)
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        year = months // 12 + 1970 - _FIRST_YEAR
        weights = np.array(_YEARS)[year] * np.array(_MONTHS)[months % 12]
        total = np.cumsum(weights * np.array(_WEEKDAYS)[(days + 3) % 7])
        result: Floats = total / total[-1]
        return result

    def _sign_ups(self, index: Ints) -> Ints:
        found = np.searchsorted(self._curve, (index + 0.5) / self.size)
        return EXTRACT_DAY + 1 - self._curve.size + found

    @cached_property
    def _known(self) -> int:
        """The position of the known account: in order of sign-up, if there is room before it."""
        before = self._curve[_KNOWN_SIGN_UP - EXTRACT_DAY - 2] * self.size
        return min(int(before), self.size - 1, (KNOWN_ACCOUNT - _LOWEST_NUMBER) // self._step)

    @cached_property
    def _step(self) -> int:
        return max(_NUMBERS // self.size, 1)

    def _numbers(self, index: Ints) -> Ints:
        def offset(place: Ints) -> Ints:
            mixed = (place * 2_654_435_761) & 0xFFFFFFFF
            return place * self._step + (mixed * self._step >> 32)

        return KNOWN_ACCOUNT + offset(index) - offset(np.array(self._known))

    def _make(self, chunk: int, index: Ints) -> Accounts:
        random = generator(self.seed, Purpose.ACCOUNTS, chunk)
        size = index.size
        known = np.flatnonzero(index == self._known)
        signed_up = self._sign_ups(index)
        signed_up[known] = _KNOWN_SIGN_UP

        wait = 7 + random.poisson(13, size)
        wait += np.where(random.random(size) < _SLOW_SHARE, random.integers(5, 75, size), 0)
        live = signed_up + wait
        live[known] = _KNOWN_LIVE
        stay = random.standard_exponential(size) ** _CHURN_SHAPE * _CHURN_DAYS
        churned = live + _LEAST_STAY + stay.astype(np.int64)
        churned[known] = EXTRACT_DAY + 1
        fate = random.random(size)
        fate[known] = 1.0

        status = np.where(churned <= EXTRACT_DAY, CHURNED, LIVE)
        status[fate < _TML_SHARE + _CANCELLED_SHARE] = CANCELLED
        status[fate < _TML_SHARE] = TML
        # An account that is not live yet may still cancel, and is not a TML account either.
        status[live > EXTRACT_DAY] = PENDING
        started = (status != PENDING) & (status != CANCELLED)

        return Accounts(
            number=self._numbers(index),
            status=status,
            signed_up=signed_up,
            churned=np.where(started & (churned <= EXTRACT_DAY), churned, NOTHING),
            live=np.where(started, live, NOTHING),
            ordered=_ordered(random, signed_up, known),
            known=known,
        )

    def _batch(self, chunk: int, accounts: Accounts) -> pa.RecordBatch:
        random = generator(self.seed, Purpose.ORIGINS, chunk)
        size = accounts.number.size
        source = pick(random.random(size), _SOURCE_SHARES)
        occupier = pick(random.random(size), _OCCUPIER_SHARES)
        index = chunk * CHUNK + np.arange(size)
        referral, referrer = self._referrals(random, index, source)
        columns = [
            pa.array(accounts.number),
            words(accounts.status, STATUSES),
            dates(accounts.signed_up),
            dates(accounts.churned),
            dates(accounts.live),
            dates(_three_months_later(accounts.live)),
            words(source, _SOURCES),
            words(np.where(occupier < len(_OCCUPIERS), occupier, NOTHING), _OCCUPIERS),
            words(referral, _REFERRALS),
            words(referral, _REFERRAL_CODES),
            numbers(referrer),
        ]
        return pa.record_batch(columns, schema=SCHEMA)

    def _referrals(
        self, random: np.random.Generator, index: Ints, source: Ints
    ) -> tuple[Ints, Ints]:
        """Types of referral, and the numbers of the referrers, who signed up before."""
        size = index.size
        shares = np.array(_REFERRAL_SHARES)[source]
        bounds = np.cumsum(shares, axis=1)[:, :-1]
        referral = (random.random(size)[:, None] >= bounds).sum(axis=1) - 1
        # The later of two draws: recent customers refer more friends.
        back = np.maximum(random.random(size), random.random(size))
        earlier = np.minimum((index * back).astype(np.int64), index - 1)
        partner = earlier - earlier % _ACCOUNTS_PER_PARTNER
        earlier = np.where(referral == PARTNER, partner, earlier)
        referral[earlier < 0] = NOTHING
        has_referrer = (referral == PARTNER) | (referral == CUSTOMER)
        return referral, np.where(has_referrer, self._numbers(np.maximum(earlier, 0)), NOTHING)


def _ordered(random: np.random.Generator, signed_up: Ints, known: Ints) -> Flags:
    draws = random.random((signed_up.size, len(SERVICES)))
    ordered = draws < np.array(_SERVICE_SHARES)
    ordered[:, GAS] &= ordered[:, ELECTRICITY]
    ordered[:, INSURANCE] &= signed_up >= _INSURANCE_FROM
    ordered[known] = False
    ordered[known[:, None], [ELECTRICITY, GAS, BROADBAND]] = True
    ordered[~ordered.any(axis=1), ELECTRICITY] = True
    return ordered


def _three_months_later(days: Ints) -> Ints:
    """The same day three months on, or the last of a month that has no such day."""
    moments = days.astype("datetime64[D]")
    month = moments.astype("datetime64[M]")
    target = month + 3
    within = moments - month.astype("datetime64[D]")
    last = (target + 1).astype("datetime64[D]") - 1
    later = np.minimum(target.astype("datetime64[D]") + within, last).astype(np.int64)
    return np.where(days == NOTHING, NOTHING, later)
