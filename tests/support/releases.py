"""Releases for tests of the gateway, written as Parquet without a build."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pollux.runtime.settings import Settings

MONEY = pa.decimal128(18, 2)

ACCOUNTS = pa.table(
    {
        "account_number": pa.array([1000001, 1000002, 1000003, 9693465], pa.int64()),
        "account_status": ["Live", "Churned", None, "Live"],
        "sign_up_date": [date(2019, 5, 4), date(2018, 2, 1), date(2022, 9, 9), date(2021, 12, 20)],
        "churn_date": pa.array([None, date(2020, 6, 30), None, None], pa.date32()),
        "first_service_live_date": pa.array(
            [date(2019, 5, 20), date(2018, 2, 14), None, date(2022, 1, 8)], pa.date32()
        ),
        "end_of_onboarding_period": pa.array(
            [date(2019, 8, 4), date(2018, 5, 1), None, date(2022, 3, 20)], pa.date32()
        ),
        "sign_up_source": ["partner", "phone", "web", "web"],
        "property_occupier_status_at_sign_up": ["tenant", "owner", "tenant", "owner"],
        "referral_type": ["none", "none", "friend", "friend"],
        "referral_type_code": ["NON", "NON", "FRD", "FRD"],
        "referrers_account_number": pa.array([None, None, 9693465, 1000001], pa.int64()),
    }
)

# In the order of its key, the line, which differs from that of the accounts.
BROADBAND = pa.table(
    {
        "account_number": pa.array([9693465, 1000002, 9693465], pa.int64()),
        "service_number": pa.array([11, 12, 13], pa.int64()),
        "package": ["Fast", "Slow", "Faster"],
        "speed_mbps": pa.array([67, 10, None], pa.int32()),
        "monthly_price": pa.array([Decimal("28.00"), None, Decimal("35.50")], MONEY),
        "start_date": [date(2022, 1, 8), date(2018, 2, 14), date(2023, 1, 1)],
        "end_date": pa.array([date(2022, 12, 31), date(2020, 6, 30), None], pa.date32()),
        "is_running": [False, False, True],
    }
)
INITIAL_SERVICES = pa.table(
    {
        "account_number": pa.array([1000001, 9693465, 9693465], pa.int64()),
        "service": ["gas", "broadband", "electricity"],
        "quantity": pa.array([1, 1, 2], pa.int32()),
        "ordered_date": [date(2019, 5, 4), date(2021, 12, 20), date(2021, 12, 20)],
    }
)
CASHBACK = pa.table(
    {
        "account_number": pa.array([1000001, 1000001], pa.int64()),
        "cashback_month": [date(2020, 1, 1), date(2020, 2, 1)],
        "card_spend": pa.array([Decimal("100.00"), Decimal("0.10")], MONEY),
        "cashback_amount": pa.array([Decimal("1.00"), Decimal("0.00")], MONEY),
    }
)
CUSTOMER_TABLES = {
    "customers": ACCOUNTS,
    "customer_broadband": BROADBAND,
    "customer_initial_services": INITIAL_SERVICES,
    "customer_cashback": CASHBACK,
}


def write_release(
    settings: Settings, domain: str, number: int, tables: dict[str, pa.Table]
) -> Path:
    """Writes the files of a release and makes it the current one."""
    folder = settings.releases_dir / domain / f"r{number}"
    folder.mkdir(parents=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    link = folder.parent / "current"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    return folder


def many_accounts(count: int) -> pa.Table:
    """Made-up accounts, numbered from 1,000,000; every value is a hash of the number."""
    query = f"""
        select
            i::bigint as account_number,
            ['Live', 'Churned', 'Pending'][1 + (hash(i, 1) % 3)::int] as account_status,
            date '2010-01-01' + (hash(i, 2) % 5000)::int as sign_up_date,
            case when hash(i, 1) % 3 = 1 then date '2024-01-01' + (hash(i, 3) % 500)::int end
                as churn_date,
            date '2010-02-01' + (hash(i, 4) % 5000)::int as first_service_live_date,
            date '2010-05-01' + (hash(i, 4) % 5000)::int as end_of_onboarding_period,
            ['web', 'partner', 'phone'][1 + (hash(i, 5) % 3)::int] as sign_up_source,
            ['owner', 'tenant'][1 + (hash(i, 6) % 2)::int] as property_occupier_status_at_sign_up,
            ['friend', 'none'][1 + (hash(i, 7) % 2)::int] as referral_type,
            ['FRD', 'NON'][1 + (hash(i, 7) % 2)::int] as referral_type_code,
            case when hash(i, 7) % 2 = 0 then 1000000 + (hash(i, 8) % {count})::bigint end
                as referrers_account_number
        from range(1000000, 1000000 + {count}) as numbers(i)
        order by i
    """
    with duckdb.connect() as connection:
        return connection.sql(query).to_arrow_table()


def small_installation(folder: Path, patch: pytest.MonkeyPatch) -> Settings:
    """An installation that serves a few customers, set in the environment."""
    patch.delenv("POLLUX_DATABASE_URL", raising=False)
    patch.setenv("POLLUX_DATA_DIR", str(folder))
    settings = Settings()
    write_release(settings, "customer", 1, CUSTOMER_TABLES)
    return settings
