"""Test data as the published protocols make them: dated baskets and ordered baskets.

Belongs here: which customers, items and baskets count.
"""

import json
from pathlib import Path

import duckdb
import numpy as np

from orchestration.learn.recommend.baskets import Baskets, dated_baskets, ordered_baskets
from orchestration.scans import scan_csv

LEAST_BASKETS = 5
LEAST_PURCHASES = 10
MINUTES = 1440

_DATED = """
with lines as (
    select household_key as customer, product_id as item,
        day * 1440 + trans_time // 100 * 60 + trans_time % 100 as minute, day
    from {scan}
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
select customer, minute, item from kept semi join kept_customers using (customer)
order by 1, 2, 3
"""


def read_dated(path: Path) -> Baskets:
    """The dated baskets of a `transaction_data` file.

    First items with under 10 purchases (lines) go, then customers with under 5 distinct
    timestamps, all on one day, or more lines per shopping day than the mean plus two standard
    deviations. A basket is what a customer bought at one minute; time is in days.
    """
    with duckdb.connect() as engine:
        found = engine.execute(
            _DATED.format(scan=scan_csv(path)), [LEAST_PURCHASES, LEAST_BASKETS]
        ).fetchnumpy()
    customers, owner = np.unique(found["customer"], return_inverse=True)
    items, item = np.unique(found["item"], return_inverse=True)
    time = found["minute"].astype(np.float64) / MINUTES
    return dated_baskets(owner, time, item, customers=customers.size, items=items.size)


def read_ordered(path: Path) -> Baskets:
    """Baskets known by their order: a JSON object of customer to list of lists of item numbers."""
    histories = list(json.loads(path.read_text(encoding="utf-8")).values())
    most = max(item for history in histories for basket in history for item in basket)
    return ordered_baskets(histories, most + 1)
