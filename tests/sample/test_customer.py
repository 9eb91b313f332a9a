"""The customer sample: the dirt of the real vouchers, and a consistent customer base."""

import re
from pathlib import Path

import duckdb
import pytest
import yaml
from pyarrow import parquet

from sample.customer import generate_customer
from sample.customer.seeds import write_seeds
from sample.errors import SampleError
from sample.generate import generate
from tests.conftest import PROJECT_DIR
from tests.sample.support import assert_seeds_are_committed, hashes, value, values

STAGING = PROJECT_DIR / "models/staging"
ACCOUNT_FILES = ["customer_accounts", "broadband_services", "initial_services", "cashback"]
SCALE = 0.1
KNOWN = 9_693_465

SEGMENTED = """
    create table segmented as
    with
        counted as (
            select
                *,
                try_cast(total_orders as double) as orders,
                date_diff('second', last_order_ts::timestamp, timestamp::timestamp) // 86400 as days
            from voucher_assignments
        )
    select
        *,
        case when orders <= 4 then '0-4' when orders <= 13 then '5-13' when orders <= 37
            then '14-37' end as frequency,
        case when days < 30 then null when days <= 60 then '30-60' when days <= 90 then '61-90'
            when days <= 120 then '91-120' when days <= 180 then '121-180' else '180+'
            end as recency
    from counted
    where
        orders > 0 and orders = floor(orders) and last_order_ts::timestamp <= timestamp::timestamp
        and first_order_ts <= last_order_ts::timestamp
"""


def connect(folder: Path, vouchers: str, prefix: str = "") -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ACCOUNT_FILES:
        connection.execute(f"create table {name} as from '{folder}/{prefix}{name}.csv'")
    connection.execute(f"create table voucher_assignments as {vouchers}")
    connection.execute(SEGMENTED)
    return connection


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    return folder, generate_customer(folder, scale=SCALE)


@pytest.fixture(scope="module")
def db(sample):
    folder = sample[0]
    with connect(folder, f"from '{folder}/voucher_assignments.parquet'") as connection:
        yield connection


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    return folder, write_seeds(folder)


@pytest.fixture(scope="module")
def seeds_db(seeds):
    path = seeds[0] / "raw_customer__voucher_assignments.csv"
    with connect(
        seeds[0],
        f"select * replace (first_order_ts::timestamp as first_order_ts) "
        f"from read_csv('{path}', all_varchar = true)",
        "raw_customer__",
    ) as connection:
        yield connection


# --- form ---


def test_the_same_bytes_for_the_same_scale_and_seed(tmp_path):
    for name, scale, seed in (("a", 0.001, 1), ("b", 0.001, 1), ("c", 0.001, 2), ("d", 0.002, 1)):
        generate_customer(tmp_path / name, scale=scale, seed=seed)
    same, other_seed, other_scale = (hashes(tmp_path / name) for name in "bcd")
    assert hashes(tmp_path / "a") == same
    for name, digest in same.items():
        assert digest != other_seed[name], name
        assert digest != other_scale[name], name


def test_rows_told_are_rows_written(sample, db):
    folder, rows = sample
    assert rows["voucher_assignments.parquet"] == 50_000
    assert rows["customer_accounts.csv"] == 200_000
    assert sorted(rows) == sorted(path.name for path in folder.iterdir())
    for name, count in rows.items():
        assert count == value(db, f"select count(*) from {Path(name).stem}"), name
    assert rows["broadband_services.csv"] == pytest.approx(60_000, rel=0.15)
    assert rows["initial_services.csv"] == pytest.approx(400_000, rel=0.05)
    assert rows["cashback.csv"] == pytest.approx(150_000, rel=0.1)


def test_files_have_the_declared_columns(sample):
    folder = sample[0]
    declared = {}
    for path in STAGING.glob("*/*__sources.yml"):
        for source in yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]:
            if source["name"] == "customer":
                for table in source["tables"]:
                    declared[table["name"]] = [column["name"] for column in table["columns"]]
    assert sorted(declared) == sorted([*ACCOUNT_FILES, "voucher_assignments"])
    for name in ACCOUNT_FILES:
        header = (folder / f"{name}.csv").open(encoding="utf-8").readline().strip()
        assert header.split(",") == declared[name]
    schema = parquet.read_schema(folder / "voucher_assignments.parquet")
    assert schema.names == declared["voucher_assignments"]


def test_vouchers_are_written_as_in_the_real_file(sample, db):
    schema = parquet.read_schema(sample[0] / "voucher_assignments.parquet")
    types = ["string", "string", "string", "timestamp[us]", "string", "double"]
    assert [str(kind) for kind in schema.types] == types
    pattern = {
        "timestamp": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}",
        "last_order_ts": r"\d{4}-\d\d-\d\d",
        "total_orders": r"|-?\d+\.\d|n/a",
    }
    for column, expected in pattern.items():
        found = values(db, f"select distinct {column} from voucher_assignments")
        wrong = [text for text in found if text is not None and not re.fullmatch(expected, text)]
        assert not wrong, column


@pytest.mark.parametrize("scale", [0.0, -1.0, 101.0, float("nan"), float("inf")])
def test_a_scale_out_of_range_is_refused(tmp_path, scale):
    with pytest.raises(SampleError, match="scale must be above 0"):
        generate_customer(tmp_path, scale=scale)


def test_a_seed_out_of_range_is_refused(tmp_path):
    with pytest.raises(SampleError, match="seed must be 0 or above"):
        generate_customer(tmp_path, seed=-1)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "voucher_assignments.parquet").mkdir()
    with pytest.raises(SampleError, match="cannot write"):
        generate_customer(tmp_path, scale=0.0001)


def test_only_household_has_promotion_rows(tmp_path):
    with pytest.raises(SampleError, match="customer has no promotion rows"):
        generate("customer", tmp_path / "none", scale=0.001, seed=1, causal=True)
    assert not (tmp_path / "none").exists()


# --- vouchers ---


@pytest.mark.parametrize(
    ("condition", "share"),
    [
        ("total_orders = ''", 0.08),
        ("total_orders = '0.0'", 0.117),
        ("last_order_ts::timestamp > timestamp::timestamp", 0.08),
        ("voucher_amount is null", 0.006),
        ("first_order_ts > last_order_ts::timestamp", 0.004),
    ],
)
def test_dirt_has_its_share(db, condition, share):
    query = f"select avg(coalesce({condition}, false)::int) from voucher_assignments"
    assert value(db, query) == pytest.approx(share, rel=0.15)


def test_rare_dirt_is_there(db):
    for condition in (
        "total_orders = '-1.0'",
        "total_orders = '3.5'",
        "total_orders = 'n/a'",
        "last_order_ts is null",
        "first_order_ts is null",
    ):
        count = value(db, f"select count(*) from voucher_assignments where {condition}")
        assert 0 < count < 50, condition
    query = """
        select count(*) - (select count(*) from (select distinct * from voucher_assignments))
        from voucher_assignments
    """
    assert 1 <= value(db, query) <= 5


def test_order_counts_are_skewed_up_to_466(db):
    assert value(db, "select min(orders) from segmented") == 1
    assert 300 < value(db, "select max(orders) from segmented") <= 466
    assert 5 <= value(db, "select median(orders) from segmented") <= 10
    assert value(db, "select quantile_cont(orders, 0.95) from segmented") > 40


def test_every_segment_of_every_country_has_a_voucher(db):
    query = """
        select count(*) from (
            select distinct country_code, frequency, recency from segmented
            where voucher_amount is not null
        )
    """
    countries = values(db, "select distinct country_code from segmented")
    assert {"Peru", "China", "Latvia", "Australia"} < countries
    # Three classes and none, five classes and none.
    assert value(db, query) == len(countries) * 4 * 6


def most_used(connection, segment):
    query = f"""
        select {segment}, arg_max(voucher_amount, times) from (
            select {segment}, voucher_amount::double as voucher_amount, count(*) as times
            from segmented
            where country_code = 'Peru' and voucher_amount is not null
            group by all
        )
        group by all
    """
    return {amount for _, amount in connection.execute(query).fetchall()}


@pytest.mark.parametrize("segment", ["country_code", "frequency", "recency"])
def test_perus_most_used_voucher_is_2640_in_every_segment(db, seeds_db, segment):
    assert most_used(db, segment) == {2640.0}
    assert most_used(seeds_db, segment) == {2640.0}


def test_elsewhere_the_segment_matters(db):
    query = """
        select count(distinct amount) from (
            select frequency, arg_max(voucher_amount, times) as amount from (
                select frequency, voucher_amount, count(*) as times
                from segmented
                where country_code = 'Latvia' and voucher_amount is not null
                group by all
            )
            group by 1
        )
    """
    assert value(db, query) > 1


# --- accounts ---


@pytest.mark.parametrize("scale", [1e-9, 0.00001, 0.003])
def test_the_known_account_is_in_every_sample(tmp_path, scale):
    generate_customer(tmp_path, scale=scale, seed=3)
    assert_known_account(tmp_path)


def test_the_known_account_is_in_a_larger_sample(sample):
    assert_known_account(sample[0])


def assert_known_account(folder):
    connection = duckdb.connect()
    query = "select {} from '{}/{}.csv' where account_number = {}"
    columns = "account_status, first_service_live_date::text, churn_date"
    found = connection.execute(query.format(columns, folder, "customer_accounts", KNOWN)).fetchall()
    assert found == [("Live", "2022-01-08", None)]
    for name in ACCOUNT_FILES[1:]:
        assert value(connection, query.format("count(*)", folder, name, KNOWN)) > 0, name
    running = query.format("count(*)", folder, "broadband_services", KNOWN)
    assert value(connection, f"{running} and end_date is null") == 1


def test_accounts_hold_together(db):
    assert value(db, "select count(distinct account_number) from customer_accounts") == 200_000
    for wrong in (
        "sign_up_date > first_service_live_date",
        "churn_date <= first_service_live_date",
        "churn_date is not null and first_service_live_date is null",
        "account_status = 'Live' and (churn_date is not null or first_service_live_date is null)",
        "account_status = 'Churned' and churn_date is null",
        "account_status in ('Pending', 'Cancelled') and first_service_live_date is not null",
        "end_of_onboarding_period - first_service_live_date not between 89 and 92",
        "(end_of_onboarding_period is null) <> (first_service_live_date is null)",
        "(referral_type is null) <> (referral_type_code is null)",
        "referrers_account_number >= account_number",
        (
            "(referrers_account_number is null) = (coalesce(referral_type, '') in "
            "('Partner', 'Customer'))"
        ),
    ):
        query = f"select count(*) from customer_accounts where {wrong}"
        assert value(db, query) == 0, wrong
    strangers = """
        select count(*) from customer_accounts as referred
        left join customer_accounts as referrer
            on referred.referrers_account_number = referrer.account_number
        where referred.referrers_account_number is not null
            and (referrer.account_number is null or referrer.sign_up_date > referred.sign_up_date)
    """
    assert value(db, strangers) == 0
    codes = "select count(distinct (referral_type, referral_type_code)) from customer_accounts"
    types = "select count(distinct referral_type) from customer_accounts"
    assert value(db, codes) == value(db, types) + 1


def test_statuses_have_believable_shares(db):
    query = """
        select account_status, count(*) / 200_000 from customer_accounts group by 1
    """
    shares = dict(db.execute(query).fetchall())
    assert set(shares) == {"Live", "Churned", "Pending", "Cancelled", "TML"}
    assert 0.4 < shares["Live"] < 0.6
    assert 0.4 < shares["Churned"] < 0.6
    assert 0.001 < shares["TML"] < 0.01
    assert 0.001 < shares["Pending"] < 0.01


def test_who_came_long_ago_left_more_often(db):
    query = """
        select avg((churn_date is not null)::int) from customer_accounts
        where year(sign_up_date) between {} and {}
    """
    early, late = (value(db, query.format(*years)) for years in ((2003, 2010), (2020, 2025)))
    assert early > 2 * late


def test_enrichments_fit_their_accounts(db):
    joined = "select count(*) from {} as one left join customer_accounts using (account_number) "
    for name, wrong in (
        ("broadband_services", "start_date < first_service_live_date"),
        ("broadband_services", "end_date > churn_date or end_date <= start_date"),
        ("broadband_services", ("end_date is null and account_status <> 'Live' "
         "and (account_status <> 'TML' or churn_date is not null)")),
        ("broadband_services", "first_service_live_date is null"),
        ("initial_services", "ordered_date < sign_up_date or ordered_date > sign_up_date + 7"),
        ("initial_services", "sign_up_date is null or quantity < 1"),
        ("cashback", "cashback_month <= first_service_live_date"),
        ("cashback", "cashback_month > churn_date or first_service_live_date is null"),
        ("cashback", "day(cashback_month) <> 1 or card_spend <= 0 or cashback_amount <= 0"),
        ("cashback", "cashback_amount > card_spend * 0.05"),
    ):  # fmt: skip
        assert value(db, f"{joined.format(name)} where {wrong}") == 0, wrong


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("broadband_services", "service_number"),
        ("initial_services", "(account_number, service)"),
        ("cashback", "(account_number, cashback_month)"),
    ],
)
def test_keys_are_unique(db, name, key):
    assert value(db, f"select count(*) - count(distinct {key}) from {name}") == 0


def test_one_broadband_line_at_a_time(db):
    query = """
        select count(*) from (
            select
                start_date,
                lag(coalesce(end_date, date '9999-01-01')) over (
                    partition by account_number order by start_date
                ) as ended
            from broadband_services
        )
        where start_date <= ended
    """
    assert value(db, query) == 0


def test_initial_services_are_those_known(db):
    services = values(db, "select distinct service from initial_services")
    assert services == {"electricity", "gas", "broadband", "mobile", "insurance"}
    without = (
        "select count(*) from customer_accounts anti join initial_services using (account_number)"
    )
    assert value(db, without) == 0


# --- seeds ---


def test_committed_seeds_are_current(seeds):
    names = [*ACCOUNT_FILES, "voucher_assignments"]
    assert_seeds_are_committed(seeds, [f"raw_customer__{name}.csv" for name in names])


def test_seeds_are_small(seeds):
    folder, rows = seeds
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000
    assert 150 <= rows["raw_customer__voucher_assignments.csv"] <= 300
    assert 40 <= rows["raw_customer__customer_accounts.csv"] <= 100


def test_voucher_seeds_hold_every_reason_to_drop_a_row(seeds_db):
    for condition in (
        "total_orders is null",
        "total_orders = '0.0'",
        "try_cast(total_orders as double) < 0",
        "total_orders is not null and try_cast(total_orders as double) is null",
        "total_orders = '3.5'",
        "last_order_ts is null",
        "first_order_ts is null",
        "first_order_ts > last_order_ts::timestamp",
        "last_order_ts::timestamp > timestamp::timestamp",
        "voucher_amount is null",
    ):
        query = f"select count(*) from voucher_assignments where {condition}"
        assert value(seeds_db, query) > 0, condition
    repeated = "select count(*) from segmented group by all having count(*) > 1"
    assert len(seeds_db.execute(repeated).fetchall()) > 0


def test_voucher_seeds_show_every_segment_and_a_tie(seeds_db):
    frequency = values(seeds_db, "select distinct frequency from segmented")
    assert frequency == {None, "0-4", "5-13", "14-37"}
    recency = values(seeds_db, "select distinct recency from segmented")
    assert recency == {None, "30-60", "61-90", "91-120", "121-180", "180+"}
    ties = """
        select count(*) from (
            select country_code, frequency, times, rank() over (
                partition by country_code, frequency order by times desc
            ) as place
            from (
                select country_code, frequency, voucher_amount, count(*) as times
                from (select distinct * from segmented)
                where frequency is not null and voucher_amount is not null
                group by all
            )
            qualify place = 1
        )
        group by country_code, frequency
        having count(*) > 1
    """
    assert seeds_db.execute(ties).fetchall()


def test_account_seeds_show_every_kind(seeds_db):
    statuses = values(seeds_db, "select distinct account_status from customer_accounts")
    assert statuses == {"Live", "Churned", "Pending", "Cancelled", "TML"}
    for name in ACCOUNT_FILES[1:]:
        of_tml = f"""
            select count(*) from {name} inner join customer_accounts using (account_number)
            where account_status = 'TML'
        """
        assert value(seeds_db, of_tml) > 0, name
        strangers = (
            f"select count(*) from {name} anti join customer_accounts using (account_number)"
        )
        assert value(seeds_db, strangers) == 0, name
    known = f"select count(*) from customer_accounts where account_number = {KNOWN}"
    assert value(seeds_db, known) == 1
