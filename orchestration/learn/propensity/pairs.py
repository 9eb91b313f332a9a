"""Pairs of order and coupon: what could have been used, what was known before, what was used.

Belongs here: the rows that a model learns from. Does not belong here: how they become features
(`pollux.propensity`), and what is learned.

Every customer column describes the time before the order: it is computed from strictly earlier
orders, with the columns and rounding of the mart `customer_info`. So no row knows anything of its
own order or a later one. The mart's age is that of the history's last day: on the day of an order,
the customer was as many years younger as have passed since, to the nearest one.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from orchestration.learn.propensity.errors import LearnError
from orchestration.learn.propensity.history import TOTALS
from pollux.propensity import CATEGORICAL, INPUTS, NUMERIC, Categories, category_code

MACROS = """
create or replace temp macro rounded_quotient(dividend, divisor) as
    -- Rounds half up in whole numbers, as the marts do.
    (
        (2 * dividend + divisor)
        - (((2 * dividend + divisor) % (2 * divisor)) + 2 * divisor) % (2 * divisor)
    ) // (2 * divisor)
"""

KNOWN = """
with
    lines as (
        select
            orders.customer_id,
            orders.ordered_at,
            order_lines.order_id,
            order_lines.product_id,
            order_lines.coupon_id,
            cast(order_lines.paid_price * 100 as bigint) as paid_cents,
            order_lines.discount_millionths
        from order_lines
        inner join orders on order_lines.order_id = orders.order_id
    ),

    -- Orders at the same moment do not count as earlier than each other.
    moments as (
        select
            customer_id,
            ordered_at,
            count(*) as items,
            count(paid_cents) as priced,
            sum(paid_cents)::bigint as paid_cents,
            count(coupon_id) as coupons_used,
            count(discount_millionths) as discounted,
            sum(discount_millionths)::bigint as discount_millionths
        from lines
        group by 1, 2
    ),

    first_bought as (
        select
            customer_id,
            product_id,
            min(ordered_at) as first_at,
            min(ordered_at) filter (where coupon_id is not null) as first_with_coupon_at
        from lines
        where product_id is not null
        group by 1, 2
    ),

    new_products as (
        select customer_id, first_at as ordered_at, count(*) as products
        from first_bought
        group by 1, 2
    ),

    new_products_with_coupons as (
        select customer_id, first_with_coupon_at as ordered_at, count(*) as products
        from first_bought
        where first_with_coupon_at is not null
        group by 1, 2
    ),

    totals as (
        select
            customer_id,
            ordered_at,
            sum(items) over so_far as items,
            sum(priced) over so_far as priced,
            sum(paid_cents) over so_far as paid_cents,
            sum(coupons_used) over so_far as coupons_used,
            sum(discounted) over so_far as discounted,
            sum(discount_millionths) over so_far as discount_millionths,
            sum(new_products.products) over so_far as unique_products,
            sum(new_products_with_coupons.products) over so_far as unique_with_coupons
        from moments
        left join new_products using (customer_id, ordered_at)
        left join new_products_with_coupons using (customer_id, ordered_at)
        window so_far as (
            partition by customer_id
            order by ordered_at
            rows between unbounded preceding and {until}
        )
    ),

    known as (
        select
            customer_id,
            ordered_at,
            rounded_quotient(paid_cents::bigint, nullif(priced, 0)::bigint)
                / 100 as mean_buy_price,
            coalesce(coupons_used, 0) as total_coupons_used,
            rounded_quotient(
                discount_millionths::hugeint, (10000 * nullif(discounted, 0))::hugeint
            ) / 100 as mean_discount_received,
            coalesce(unique_products, 0) as unique_products_bought,
            coalesce(unique_with_coupons, 0) as unique_products_bought_with_coupons,
            coalesce(items, 0) as total_items_bought
        from totals
    )
"""

PAIRS = """
,
    order_departments as (
        select distinct lines.order_id, lines.customer_id, lines.ordered_at, products.department
        from lines
        inner join products on lines.product_id = products.product_id
    ),

    uses as (
        select distinct order_id, coupon_id from lines where coupon_id is not null
    ),

    last_day as (select max(ordered_at)::date as day from orders)

select
    asked.order_id,
    coupons.coupon_id,
    asked.customer_id,
    asked.ordered_at,
    uses.coupon_id is not null as is_used,
    customers.gender,
    customers.age - least(
        customers.age, round((last_day.day - asked.ordered_at::date) / 365.25)
    )::double as age,
    coupons.coupon_type,
    coupons.department,
    {numbers}
from order_departments as asked
inner join
    coupons
    on asked.department = coupons.department
    and asked.ordered_at::date between coupons.start_date and coupons.end_date
inner join known using (customer_id, ordered_at)
cross join last_day
left join customers using (customer_id)
left join uses on asked.order_id = uses.order_id and coupons.coupon_id = uses.coupon_id
order by asked.ordered_at, asked.order_id, coupons.coupon_id
"""

# What is known after a customer's last order is what the mart says of the customer.
DIFFERING = """
,
    last_known as (
        select *
        from known
        qualify row_number() over (partition by customer_id order by ordered_at desc) = 1
    )

select customer_id
from last_known
inner join customer_totals using (customer_id)
where {differs}
order by customer_id
"""

USES = """
select count(*) from (
    select distinct order_id, coupon_id from order_lines where coupon_id is not null
)
"""


@dataclass(frozen=True)
class Pairs:
    """Pairs by time of order; `uses` counts all uses in the history, even those in no pair."""

    table: pa.Table
    uses: int

    @property
    def ordered_at(self) -> npt.NDArray[np.datetime64]:
        """Time of each pair's order, ascending."""
        found: npt.NDArray[np.datetime64] = self.table["ordered_at"].to_numpy()
        return found

    @property
    def is_used(self) -> npt.NDArray[np.bool_]:
        """Whether the order used the coupon."""
        found: npt.NDArray[np.bool_] = self.table["is_used"].to_numpy()
        return found

    def categories(self, rows: int) -> dict[str, list[str]]:
        """The categories of the first `rows` pairs, by name."""
        return {
            name: sorted(text for text in self.table[name][:rows].unique().to_pylist() if text)
            for name in CATEGORICAL
        }

    def inputs(self, categories: Categories) -> dict[str, npt.NDArray[np.float64]]:
        """The columns that `pollux.propensity.encode` takes."""
        found = {name: _numbers(self.table[name]) for name in NUMERIC}
        found |= {name: _codes(self.table[name], name, categories) for name in CATEGORICAL}
        return {name: found[name] for name in INPUTS}


def read_pairs(history: duckdb.DuckDBPyConnection) -> Pairs:
    """All pairs of a history (`history.open_history`), by time, order and coupon."""
    history.execute(MACROS)
    numbers = ",\n    ".join(f"{name}::double as {name}" for name in NUMERIC if name != "age")
    before = KNOWN.format(until="1 preceding")
    table = history.sql(before + PAIRS.format(numbers=numbers)).to_arrow_table()
    ((uses,),) = history.execute(USES).fetchall()
    return Pairs(table, int(uses))


def check_features(history: duckdb.DuckDBPyConnection) -> None:
    """Raises `LearnError` if the training features are not those of the mart `customer_info`.

    The scorer is sent the columns of the mart: a model trained on others would answer wrongly.
    """
    history.execute(MACROS)
    differs = " or ".join(
        f"last_known.{name}::double is distinct from customer_totals.{name}::double"
        for name in TOTALS
    )
    after = KNOWN.format(until="current row") + DIFFERING.format(differs=differs)
    found = [customer for (customer,) in history.execute(after).fetchall()]
    if found:
        raise LearnError(
            f"The features of {len(found)} customers (first {found[0]}) are not those of the mart "
            "customer_info: the rules of models/marts/store/customer_info.sql and "
            "orchestration/learn/propensity/pairs.py must agree."
        )


def numbered(column: pa.ChunkedArray) -> tuple[list[str | None], npt.NDArray[np.int64]]:
    """The distinct texts of a column, null included, and the position of each row's text."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = column.to_numpy()
    return found


def _codes(column: pa.ChunkedArray, name: str, categories: Categories) -> npt.NDArray[np.float64]:
    texts, places = numbered(column)
    codes = [category_code(name, text, categories) for text in texts]
    return np.array(codes, dtype=np.float64)[places]
