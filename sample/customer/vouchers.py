"""Voucher assignments as a marketing system exports them, dirt and all.

Belongs here: rows of voucher_assignments, and their dirt. Does not belong here: accounts, which
these rows do not name (`accounts`).

Shares, amounts and spread follow the published file of 285,570 rows: order counts as text with a
decimal, empty and zero counts, assignments dated three years early, a few rows twice. What that
file lacks (counts that are no count, missing dates, a first order after the last) is there in
traces, and customers come back after more than one or three months, so that every segment shows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sample.chance import Flags, Floats, Ints, generator
from sample.columns import day, pick, words
from sample.customer.chance import Purpose

SCHEMA = pa.schema(
    [
        ("timestamp", pa.string()),
        ("country_code", pa.string()),
        ("last_order_ts", pa.string()),
        ("first_order_ts", pa.timestamp("us")),
        ("total_orders", pa.string()),
        ("voucher_amount", pa.float64()),
    ]
)
CHUNK = 100_000


@dataclass(frozen=True)
class _Country:
    """A market: its share of rows, how often its customers order, and its vouchers.

    `seldom` and `often` weigh the amounts for customers with few and with many orders; `lapsed`
    is what a step of recency adds to the weight of each next larger amount.
    """

    name: str
    share: float
    orders: float
    no_voucher: float
    amounts: tuple[int, ...]
    seldom: tuple[float, ...]
    often: tuple[float, ...]
    lapsed: float = 0.08


_COUNTRIES = (
    _Country(
        name="China",
        share=0.3,
        orders=0.85,
        no_voucher=0.003,
        amounts=(1760, 3080, 4400, 5720, 8800),
        seldom=(49, 5, 17, 6, 23),
        often=(38, 6, 23, 7, 26),
    ),
    _Country(
        name="Australia",
        share=0.22,
        orders=1.15,
        no_voucher=0.007,
        amounts=(1760, 2200, 3520, 5720, 11000),
        seldom=(7, 40, 6, 26, 20),
        often=(5, 31, 5, 42, 14),
        lapsed=0.03,
    ),
    _Country(
        name="Latvia",
        share=0.17,
        orders=1.0,
        no_voucher=0.0001,
        amounts=(1540, 3080, 4400, 8800, 13200),
        seldom=(5, 5, 30, 17, 43),
        often=(5, 4, 54, 16, 21),
        lapsed=0.04,
    ),
    # The voucher used most is the same in every segment.
    _Country(
        name="Peru",
        share=0.15,
        orders=1.1,
        no_voucher=0.018,
        amounts=(2640, 3520, 4400),
        seldom=(46, 27, 27),
        often=(64, 17, 19),
        lapsed=0.0,
    ),
    _Country(
        name="Chile",
        share=0.07,
        orders=1.0,
        no_voucher=0.006,
        amounts=(1980, 3300, 4840, 6600),
        seldom=(44, 26, 18, 12),
        often=(25, 38, 24, 13),
    ),
    _Country(
        name="Kenya",
        share=0.05,
        orders=0.8,
        no_voucher=0.009,
        amounts=(880, 1320, 2200, 3520),
        seldom=(52, 24, 16, 8),
        often=(33, 35, 22, 10),
    ),
    _Country(
        name="Norway",
        share=0.04,
        orders=1.2,
        no_voucher=0.005,
        amounts=(4400, 6600, 9900, 15400),
        seldom=(42, 30, 17, 11),
        often=(22, 40, 25, 13),
    ),
)
_GROUP_ENDS = (4, 13, 37)
_RECENCY_ENDS = (29, 60, 90, 120, 180)
_RECENCY_SHARES = (0.04, 0.44, 0.27, 0.11, 0.08, 0.06)
_RECENCY_FROM = (8, 30, 61, 91, 121, 181)
_RECENCY_DAYS = (22, 31, 30, 30, 60, 260)

_FIRST_DAY, _DAYS = day("2018-06-09"), 53
_EARLIEST = day("2010-06-06")
_WEEKDAYS = (1.0, 0.95, 1.0, 1.05, 1.2, 1.0, 0.8)
_HOUR, _HOURS_WIDE, _HOUR_ENDS = 18.0, 1.7, (13.7, 22.9)
_MOST_ORDERS = 466
_MICROSECONDS = 3_600_000_000
_DAY_MICROSECONDS = 24 * _MICROSECONDS

_EARLY_DAYS = 1157  # how far back a wrong clock dates an assignment
_EARLY = 0.08
_FIRST_AFTER_LAST = 0.004
_NO_LAST, _NO_FIRST = 0.0002, 0.0002
_ROWS_PER_DUPLICATE = 30_000
# Values that are not order counts, as written, with their shares.
_ODD_COUNTS = (("", 0.08), ("0.0", 0.117), ("-1.0", 0.0002), ("3.5", 0.0002), ("n/a", 0.0002))
_COUNTS = tuple(f"{count}.0" for count in range(_MOST_ORDERS + 1))
_COUNT_TEXTS = _COUNTS + tuple(text for text, _ in _ODD_COUNTS)


def voucher_batches(seed: int, rows: int) -> Iterator[pa.RecordBatch]:
    """The assignments in chunks; the same for the same seed and number of rows."""
    for chunk, start in enumerate(range(0, rows, CHUNK)):
        yield _batch(seed, chunk, min(CHUNK, rows - start))


def _batch(seed: int, chunk: int, rows: int) -> pa.RecordBatch:
    random = generator(seed, Purpose.VOUCHERS, chunk)
    country = pick(random.random(rows), [market.share for market in _COUNTRIES])
    orders = _orders(random, country)
    assigned = _assigned(random, rows)
    recency = pick(random.random(rows), _RECENCY_SHARES)
    days_since = np.array(_RECENCY_FROM)[recency] + (
        random.random(rows) * np.array(_RECENCY_DAYS)[recency]
    ).astype(np.int64)
    last = assigned // _DAY_MICROSECONDS - days_since
    first = np.maximum(last - _days_between(random, orders), _EARLIEST)
    amounts, has_amount = _vouchers(random, country, orders, recency)

    early = random.random(rows) < _EARLY
    assigned = np.where(early, assigned - _EARLY_DAYS * _DAY_MICROSECONDS, assigned)
    swapped = random.random(rows) < _FIRST_AFTER_LAST
    first = np.where(swapped, last + random.integers(1, 40, rows), first)
    odd = pick(random.random(rows), [share for _, share in _ODD_COUNTS] + [1 - _odd_share()])
    is_odd = odd < len(_ODD_COUNTS)
    count = np.where(is_odd, len(_COUNTS) + odd, orders)
    no_last, no_first = random.random(rows) < _NO_LAST, random.random(rows) < _NO_FIRST

    clean = np.flatnonzero(~(early | swapped | is_odd | no_last | no_first))
    source = np.arange(rows)
    for _ in range(min(max(round(rows / _ROWS_PER_DUPLICATE), 1), clean.size // 2)):
        kept, lost = random.choice(clean, 2, replace=False)
        source[lost] = source[kept]

    moments = pa.array(assigned).cast(pa.timestamp("us"))
    last_days = pa.array(last.astype(np.int32), mask=no_last).cast(pa.date32())
    columns = [
        moments.cast(pa.string()),
        words(country, [market.name for market in _COUNTRIES]).cast(pa.string()),
        last_days.cast(pa.string()),
        pa.array(first * _DAY_MICROSECONDS, mask=no_first).cast(pa.timestamp("us")),
        words(count, _COUNT_TEXTS).cast(pa.string()),
        pa.array(amounts, mask=~has_amount),
    ]
    return pa.record_batch(columns, schema=SCHEMA).take(pa.array(source))


def _odd_share() -> float:
    return sum(share for _, share in _ODD_COUNTS)


def _orders(random: np.random.Generator, country: Ints) -> Ints:
    usual = np.array([market.orders for market in _COUNTRIES])[country]
    drawn = 7.5 * usual * np.exp(random.normal(0, 1.25, country.size))
    result: Ints = drawn.astype(np.int64) % _MOST_ORDERS + 1
    return result


def _assigned(random: np.random.Generator, rows: int) -> Ints:
    """Moments in microseconds since 1970; the campaigns send in the afternoon and evening."""
    weekdays = np.array(_WEEKDAYS)[(_FIRST_DAY + np.arange(_DAYS) + 3) % 7]
    days = _FIRST_DAY + pick(random.random(rows), weekdays.tolist())
    hours = np.clip(random.normal(_HOUR, _HOURS_WIDE, rows), *_HOUR_ENDS)
    # Spread evenly below the second, else clipped moments would be equal.
    below = random.integers(0, 1_000_000, rows)
    seconds = (hours * 3600).astype(np.int64) + random.integers(0, 300, rows)
    return days * _DAY_MICROSECONDS + seconds * 1_000_000 + below


def _days_between(random: np.random.Generator, orders: Ints) -> Ints:
    """Days from the first order to the last; frequent customers order at shorter intervals."""
    usual = 17 * (orders - 1) ** 0.7
    result: Ints = (usual * np.exp(random.normal(0, 1.0, orders.size))).astype(np.int64)
    return result


def _vouchers(
    random: np.random.Generator, country: Ints, orders: Ints, recency: Ints
) -> tuple[Floats, Flags]:
    """Amounts, and whether there is a voucher."""
    bounds, table = _amount_tables()
    group = np.searchsorted(_GROUP_ENDS, orders)
    place = (random.random(country.size)[:, None] >= bounds[country, group, recency]).sum(axis=1)
    none = np.array([market.no_voucher for market in _COUNTRIES])[country]
    return table[country, place], random.random(country.size) >= none


def _amount_tables() -> tuple[Floats, Floats]:
    """Cumulative shares by country, frequency, recency and amount; amounts by country."""
    most = max(len(market.amounts) for market in _COUNTRIES)
    groups, steps = len(_GROUP_ENDS) + 1, len(_RECENCY_ENDS) + 1
    bounds = np.ones((len(_COUNTRIES), groups, steps, most - 1))
    table = np.zeros((len(_COUNTRIES), most))
    for place, market in enumerate(_COUNTRIES):
        size = len(market.amounts)
        table[place, :size] = market.amounts
        for group in range(groups):
            often = group / (groups - 1)
            mixed = (1 - often) * np.array(market.seldom) + often * np.array(market.often)
            for step in range(steps):
                weights = mixed * (1 + market.lapsed * step) ** np.arange(size)
                shares = np.cumsum(weights) / weights.sum()
                bounds[place, group, step, : size - 1] = shares[:-1]
    return bounds, table
