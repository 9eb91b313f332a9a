"""Test data: dated and ordered baskets as the published protocols make them, or a user's own.

Belongs here: which customers, items and baskets count. Does not belong here: opening files
(`tables`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from orchestration.learn.recommend.errors import BasketsError
from orchestration.learn.recommend.household import lines_in_order
from orchestration.learn.recommend.tables import Table, open_table
from pollux.runtime.recommend.baskets import Baskets, Ints, dated_baskets, ordered_baskets

Keys = npt.NDArray[Any]

LEAST_BASKETS = 5
LEAST_PURCHASES = 10
# Of a user's own data: a test basket, a validation basket, and a history.
LEAST_OWN_BASKETS = 3
LEAST_CUSTOMERS = 10
MINUTES = 1440
# Baskets at the same time are set apart by this fraction of a day.
MOMENT = 1e-6


@dataclass(frozen=True)
class Histories:
    """Baskets, and the key of each customer by position."""

    baskets: Baskets
    customers: Keys


_DATED = """
with lines as (
    select household_key as customer, product_id as item, minute, day from ({lines})
),
known_items as (select item from lines group by 1 having count(*) >= ?),
kept as (select * from lines semi join known_items using (item)),
customers as (
    select customer, count(distinct minute) as baskets, count(distinct day) as days,
        count(*) / count(distinct day) as a_day
    from kept group by 1
),
kept_customers as (
    select customer from customers
    where baskets >= ? and days > 1
        and a_day <= (select avg(a_day) + 2 * stddev_pop(a_day) from customers)
)
select customer, minute / {minutes} as time, item
from kept semi join kept_customers using (customer)
"""

# A basket is identified by its number or its time; `place` is its rank among its customer's.
_OWN = """
with lines as (
    select {customer} as customer, {item} as item, {basket} as basket, {moment} as moment
    from {source}
    where {customer} is not null and {item} is not null and {basket} is not null
        and {moment} is not null
),
baskets as (select customer, basket, min(moment) as moment from lines group by 1, 2),
placed as (
    select *, row_number() over (partition by customer order by moment, basket) as place
    from baskets
),
kept_customers as (select customer from baskets group by 1 having count(*) >= ?)
select lines.customer, lines.item, {time} as time
from lines join placed using (customer, basket) semi join kept_customers using (customer)
"""


def read_dated(path: Path) -> Histories:
    """The dated baskets of a `transaction_data` file, CSV or Parquet.

    First, items with under 10 purchases (lines) are dropped. Then customers are dropped who have
    under 5 distinct timestamps, a single day, or more lines per shopping day than the mean plus two
    standard deviations. A basket is what a customer bought in one minute; time is in days.

    Raises:
        BasketsError: when the file is of another kind, or too few customers are left.

    """
    needed = ("household_key", "basket_id", "product_id", "day", "trans_time")
    with open_table(path, needed) as table:
        fields = [f"{table.whole_numbers(name)} as {name}" for name in needed]
        lines = lines_in_order(f"(select {', '.join(fields)} from {table.source})")
        query = _DATED.format(lines=lines, minutes=MINUTES)
        found = table.engine.sql(query, params=[LEAST_PURCHASES, LEAST_BASKETS]).to_arrow_table()
    return _enough(path, _dated(found))


def read_own(
    path: Path, *, user: str, item: str, basket: str | None = None, time: str | None = None
) -> Histories:
    """The baskets of any CSV or Parquet file, by the names of its columns.

    A basket is what a `user` bought under one `basket`, or at one `time`; baskets are ordered by
    `time` (a date, a timestamp or a number of days), else by `basket`. Rows with a blank in one of
    these columns are ignored, and so are users with under 3 baskets.

    Raises:
        BasketsError: when the file has no such columns, or too few users are left.

    """
    with open_table(path, [name for name in (user, item, basket, time) if name]) as table:
        moment, is_time = _moment(table, time, basket or "")
        query = _OWN.format(
            customer=table.texts(user),
            item=table.texts(item),
            basket=table.texts(basket) if basket else moment,
            moment=moment,
            source=table.source,
            time=f"placed.moment + placed.place * {MOMENT}" if is_time else "placed.place",
        )
        found = table.engine.sql(query, params=[LEAST_OWN_BASKETS]).to_arrow_table()
    return _enough(path, _dated(found))


def read_ordered(path: Path) -> Histories:
    """Ordered baskets: a JSON object from customer to a list of lists of item numbers.

    Raises:
        BasketsError: when the file is anything else.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BasketsError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BasketsError(f"{path} holds no JSON object of customers and their baskets")
    found = {name: _history(path, name, history) for name, history in content.items()}
    found = {name: history for name, history in found.items() if history}
    most = max((i for history in found.values() for basket in history for i in basket), default=-1)
    baskets = ordered_baskets(list(found.values()), most + 1)
    return _enough(path, Histories(baskets, np.array(list(found))))


def _moment(table: Table, time: str | None, basket: str) -> tuple[str, bool]:
    """The SQL of the column that orders baskets, and whether it is a time in days."""
    if time is None:
        return table.numbers(basket) or table.texts(basket), False
    return table.numbers(time) or table.days(time), True


def _history(path: Path, name: str, history: Any) -> list[list[int]]:  # noqa: ANN401
    """A customer's baskets, each item once, in the file's order: the first counts among ties."""
    if isinstance(history, list) and all(isinstance(basket, list) for basket in history):
        items = [item for basket in history for item in basket]
        if all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in items):
            return [list(dict.fromkeys(basket)) for basket in history if basket]
    raise BasketsError(f"{path}: customer {name!r} has no list of lists of item numbers")


def _dated(lines: pa.Table) -> Histories:
    customers, owner = _numbered(lines["customer"])
    items, item = _numbered(lines["item"])
    time = lines["time"].to_numpy().astype(np.float64)
    baskets = dated_baskets(owner, time, item, customers=customers.size, items=items.size)
    return Histories(baskets, customers)


def _numbered(keys: pa.ChunkedArray) -> tuple[Keys, Ints]:
    """The distinct keys in order, and the position of each row's."""
    encoded = keys.combine_chunks().dictionary_encode()
    distinct, place = np.unique(
        encoded.dictionary.to_numpy(zero_copy_only=False), return_inverse=True
    )
    return distinct, place[encoded.indices.to_numpy()].astype(np.int64)


def _enough(path: Path, found: Histories) -> Histories:
    if found.baskets.customers < LEAST_CUSTOMERS:
        raise BasketsError(
            f"{path} has {found.baskets.customers} customers with enough baskets to measure on; "
            f"{LEAST_CUSTOMERS} are needed"
        )
    return found
