"""The customer domain's seeds: few rows that show every segment, status and reason to drop one.

Belongs here: which rows of a sample the seeds keep. Does not belong here: making rows. None is
written by hand; all come from `vouchers`, `accounts` and `enrichments`.
"""

from pathlib import Path

import duckdb
import pyarrow as pa

from pollux.runtime.duck import open_duckdb
from sample.customer import enrichments, vouchers
from sample.customer.accounts import KNOWN_ACCOUNT, Base
from sample.files import write_csv

SEED = 1
_ASSIGNMENTS = 100_000
_ACCOUNTS = 20_000
_DIRTY_ROWS = 3  # of each kind
_ACCOUNTS_OF_A_KIND = 5

_ASSIGNMENTS_KEPT = f"""
    with
        numbered as (
            select *, row_number() over () as place, try_cast(total_orders as double) as orders
            from assignments
        ),
        told_apart as (
            select
                *,
                count(*) over (
                    partition by
                        timestamp, country_code, last_order_ts, first_order_ts, total_orders,
                        voucher_amount
                ) as times,
                date_diff('day', last_order_ts::timestamp, timestamp::timestamp) as days,
                case
                    when orders is null or orders <= 0 or orders <> floor(orders)
                    then 'count ' || total_orders
                    when last_order_ts is null then 'no last order'
                    when first_order_ts is null then 'no first order'
                    when first_order_ts > last_order_ts::timestamp then 'first after last'
                    when last_order_ts::timestamp > timestamp::timestamp then 'last after'
                    when voucher_amount is null then 'no voucher'
                end as oddity
            from numbered
        ),
        segmented as (
            select
                *,
                (orders > 4)::int + (orders > 13)::int + (orders > 37)::int as frequency,
                (days >= 30)::int + (days > 60)::int + (days > 90)::int + (days > 120)::int
                + (days > 180)::int as recency,
                country_code = 'Peru' and voucher_amount = 2640 as is_usual
            from told_apart
        ),
        counted as (
            select
                *,
                row_number() over (partition by oddity order by place) as of_oddity,
                row_number() over (
                    partition by oddity, country_code, frequency, recency, is_usual order by place
                ) as of_segment
            from segmented
        )
    select
        timestamp,
        country_code,
        last_order_ts,
        first_order_ts,
        nullif(total_orders, '') as total_orders,
        voucher_amount
    from counted
    where
        (oddity is not null and of_oddity <= {_DIRTY_ROWS})
        or (oddity is null and times > 1)
        or (oddity is null and of_segment <= case when is_usual then 2 else 1 end)
    order by place
"""

_ACCOUNTS_KEPT = f"""
    create table kept as
    with
        kinds as (
            select
                account_number,
                referrers_account_number,
                row_number() over (
                    partition by
                        account_status,
                        account_number in (select account_number from broadband_services),
                        account_number in (select account_number from cashback)
                    order by account_number % 97, account_number
                ) as place
            from customer_accounts
        ),
        chosen as (
            select account_number, referrers_account_number
            from kinds
            where place <= {_ACCOUNTS_OF_A_KIND} or account_number = {KNOWN_ACCOUNT}
        )
    select account_number from chosen
    union
    select referrers_account_number from chosen where account_number = {KNOWN_ACCOUNT}
"""

_ORDERS = {
    "customer_accounts": "account_number",
    "broadband_services": "service_number",
    "initial_services": "account_number, service",
    "cashback": "account_number, cashback_month",
}


def write_seeds(to: Path) -> dict[str, int]:
    """Write `raw_customer__<dataset>.csv` for the five datasets; return rows by file name.

    Always the same bytes. Raises `SampleError` where `to` cannot be written.
    """
    with open_duckdb() as connection:
        connection.execute("set threads = 1")
        contents = {
            "voucher_assignments": _assignments(connection),
            **_accounts(connection),
        }
    return {
        f"raw_customer__{name}.csv": write_csv(
            to / f"raw_customer__{name}.csv", table.schema, iter(table.to_batches())
        )
        for name, table in contents.items()
    }


def _assignments(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    made = pa.Table.from_batches(vouchers.voucher_batches(SEED, _ASSIGNMENTS), vouchers.SCHEMA)
    connection.register("assignments", made)
    return connection.sql(_ASSIGNMENTS_KEPT).to_arrow_table()


def _accounts(connection: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    base = Base(SEED, _ACCOUNTS)
    for name, batches in (
        ("customer_accounts", base.batches()),
        ("broadband_services", enrichments.broadband_batches(base)),
        ("initial_services", enrichments.initial_service_batches(base)),
        ("cashback", enrichments.cashback_batches(base)),
    ):
        connection.register(name, pa.Table.from_batches(batches))
    connection.execute(_ACCOUNTS_KEPT)
    return {
        name: connection.sql(
            f"select * from {name} where account_number in (from kept) order by {order}"
        ).to_arrow_table()
        for name, order in _ORDERS.items()
    }
