"""The store sample: a shop by its rules, and coupon use by known probabilities."""

from datetime import date
from itertools import product as pairs
from math import sqrt
from pathlib import Path

import duckdb
import pytest
import yaml

from sample.errors import SampleError
from sample.store import generate_store, true_probabilities
from sample.store.seeds import write_seeds
from tests.conftest import PROJECT_DIR
from tests.sample.support import assert_seeds_are_committed, one, value, values

SOURCES = PROJECT_DIR / "models/staging/store/_store__sources.yml"
RAW = ["products", "coupons", "coupon_products", "customers", "orders", "order_lines"]
READY = ["coupon_info", "customer_info"]
DEPARTMENTS = {"Boys", "Girls", "Men", "Sport", "Women"}
TYPES = {"buy_more", "buy_all", "just_discount", "department"}
SCALE = 0.05
CUSTOMERS = 50


def connect(folder: Path, names: list[str], prefix: str = "") -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in names:
        path = folder / f"{prefix}{name}.csv"
        connection.execute(
            f"create table {name} as select * from read_csv('{path}', header = true)"
        )
    return connection


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    rows = generate_store(folder, scale=SCALE)
    return folder, rows


@pytest.fixture(scope="module")
def db(sample):
    with connect(sample[0], RAW) as connection:
        truth = true_probabilities(scale=SCALE)
        connection.register("arrow", truth)
        connection.execute("create table truth as select * from arrow")
        yield connection


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    told = []
    generate_store(folder, scale=0.003, progress=told.append)
    return folder, told


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    return folder, write_seeds(folder)


@pytest.fixture(scope="module")
def seeds_db(seeds):
    with connect(seeds[0], RAW + READY, "raw_store__") as connection:
        yield connection


def kinds_valid_on(connection, day):
    query = f"""
        select coupon_type, department from coupons where '{day}' between start_date and end_date
    """
    return set(connection.execute(query).fetchall())


# --- files ---


def test_same_arguments_give_the_same_bytes(tiny, tmp_path):
    generate_store(tmp_path, scale=0.003)
    for name in RAW:
        assert (tiny[0] / f"{name}.csv").read_bytes() == (tmp_path / f"{name}.csv").read_bytes()


def test_another_seed_gives_another_shop(tiny, tmp_path):
    generate_store(tmp_path, scale=0.003, seed=2)
    for name in RAW:
        assert (tiny[0] / f"{name}.csv").read_bytes() != (tmp_path / f"{name}.csv").read_bytes()


def test_a_smaller_scale_has_the_first_customers(sample, tiny):
    for name in ("products", "coupons", "coupon_products"):
        assert (tiny[0] / f"{name}.csv").read_bytes() == (sample[0] / f"{name}.csv").read_bytes()
    for name in ("customers", "orders", "order_lines"):
        few = (tiny[0] / f"{name}.csv").read_bytes()
        assert few.count(b"\n") > 3
        assert (sample[0] / f"{name}.csv").read_bytes().startswith(few), name


def test_headers_are_the_declared_columns(sample, seeds):
    (source,) = yaml.safe_load(SOURCES.read_text(encoding="utf-8"))["sources"]
    declared = {
        table["name"]: ",".join(column["name"] for column in table["columns"])
        for table in source["tables"]
    }
    assert sorted(declared) == sorted(RAW + READY)
    for name in RAW:
        assert first_line(sample[0] / f"{name}.csv") == declared[name]
    for name in RAW + READY:
        assert first_line(seeds[0] / f"raw_store__{name}.csv") == declared[name]


def first_line(path):
    return path.read_text(encoding="utf-8").split("\n", 1)[0]


def test_values_are_written_plainly(sample):
    for name in RAW:
        content = (sample[0] / f"{name}.csv").read_text(encoding="utf-8")
        assert content.isascii(), name
        assert '"' not in content, name
        assert "\r" not in content, name


def test_sizes(sample, db):
    _, rows = sample
    assert sorted(rows) == sorted(f"{name}.csv" for name in RAW)
    for name in RAW:
        assert rows[f"{name}.csv"] == value(db, f"select count(*) from {name}"), name
    assert rows["products.csv"] == 3000
    assert rows["customers.csv"] == CUSTOMERS
    assert 1000 <= rows["coupons.csv"] <= 1500
    assert rows["order_lines.csv"] == pytest.approx(2000 * CUSTOMERS, rel=0.25)
    least, most = one(
        db,
        """
        select min(lines), max(lines) from (
            select count(*) as lines from order_lines inner join orders using (order_id)
            group by customer_id
        )
        """,
    )
    assert 2 <= least < 200
    assert 5000 < most < 20_000


def test_progress_tells_of_each_file(tiny):
    for name in RAW:
        assert f"writing {name}.csv" in tiny[1]


@pytest.mark.parametrize("scale", [0, -1, 101, float("nan"), float("inf")])
def test_scale_out_of_range(scale, tmp_path):
    with pytest.raises(SampleError, match="scale must be above 0 and at most 100"):
        generate_store(tmp_path / "never", scale=scale)
    assert not (tmp_path / "never").exists()
    with pytest.raises(SampleError, match="scale must be above 0 and at most 100"):
        true_probabilities(scale=scale)


def test_seed_out_of_range(tmp_path):
    with pytest.raises(SampleError, match="seed must be 0 or above, not -1"):
        generate_store(tmp_path, seed=-1)


# --- products and orders ---


def test_products(db):
    assert values(db, "select distinct department from products") == DEPARTMENTS
    assert value(db, "select count(distinct category) from products") == 42
    least, median, most = one(
        db, "select min(buy_price), median(buy_price), max(buy_price) from products"
    )
    assert 1 <= least < 1.5
    assert 8 < median < 12
    assert 1000 < most <= 2000
    odd_names = """
        select count(*) from products
        where not regexp_full_match(
            name, '[A-Z]+ - [A-Z][a-z() ]+ ' || category || ' for ' || department
        )
    """
    assert value(db, odd_names) == 0


def test_references_are_whole(db, seeds_db):
    for connection in (db, seeds_db):
        for child, parent in (
            ("coupon_products", "coupons"),
            ("coupon_products", "products"),
            ("order_lines", "orders"),
            ("order_lines", "products"),
            ("orders", "customers"),
        ):
            key = f"{parent[:-1]}_id"
            assert value(connection, f"select count(*) from {child}") > 0
            lost = f"select count(*) from {child} anti join {parent} using ({key})"
            assert value(connection, lost) == 0, (child, parent)
        assert (
            value(connection, "select count(*) from orders anti join order_lines using (order_id)")
            == 0
        )
        coupons = "select count(*) from order_lines where coupon_id is not null"
        known = "select count(*) from order_lines inner join coupons using (coupon_id)"
        assert value(connection, coupons) == value(connection, known) > 0


def test_keys_are_unique(db):
    for name, key in (
        ("products", "product_id"),
        ("coupons", "coupon_id"),
        ("coupon_products", "(coupon_id, product_id)"),
        ("customers", "customer_id"),
        ("orders", "order_id"),
        ("orders", "(customer_id, ordered_at)"),
        ("order_lines", "(order_id, line_number)"),
    ):
        assert value(db, f"select count(*) - count(distinct {key}) from {name}") == 0, (name, key)


def test_orders_are_inside_the_window(db):
    first, last = one(db, "select min(ordered_at)::date, max(ordered_at)::date from orders")
    assert date(2023, 11, 1) <= first < date(2023, 11, 8)
    assert date(2026, 10, 25) < last <= date(2026, 10, 31)


def test_an_order_numbers_its_lines_from_one(db):
    wrong = """
        select count(*) from (
            select order_id from order_lines group by 1
            having min(line_number) <> 1 or max(line_number) <> count(*)
        )
    """
    assert value(db, wrong) == 0


def test_some_orders_are_of_one_department_and_some_of_several(db):
    departments = """
        select avg((departments = 1)::int), avg((departments >= 3)::int) from (
            select order_id, count(distinct department) as departments
            from order_lines inner join products using (product_id) group by 1
        )
    """
    alone, many = one(db, departments)
    assert 0.4 < alone < 0.8
    assert many > 0.05


def test_customers_come_back_to_what_they_like(db):
    unique, bought = one(
        db,
        """
        select count(distinct (customer_id, product_id)), count(*)
        from order_lines inner join orders using (order_id)
        """,
    )
    assert unique < bought / 2


# --- coupons ---


def test_products_and_numbers_by_coupon_type(db):
    wrong = """
        with counted as (
            select
                coupons.*,
                count(*) as products,
                count(*) filter (where products.department = coupons.department) as own,
                any_value(sold.sold) as sold
            from coupons
            inner join coupon_products using (coupon_id)
            inner join products using (product_id)
            inner join (
                select department, count(*) as sold from products group by 1
            ) as sold on coupons.department = sold.department
            group by all
        )
        select count(*) from counted
        where own <> products or not case coupon_type
            when 'buy_more' then products = 1 and how_many_products_required between 2 and 5
            when 'buy_all' then products between 2 and 5 and how_many_products_required = products
            when 'just_discount' then products = 1 and how_many_products_required = 1
            when 'department' then products = sold and how_many_products_required = -1
        end
    """
    assert value(db, wrong) == 0
    assert (
        value(db, "select count(*) from coupons anti join coupon_products using (coupon_id)") == 0
    )
    assert values(db, "select coupon_type from coupons") == TYPES
    least, most = one(db, "select min(discount), max(discount) from coupons")
    assert 5 <= least < 10
    assert 60 < most <= 70
    assert value(db, "select count(*) from coupons where end_date < start_date") == 0


def test_each_department_has_some_coupons_on_every_day_of_the_orders(db):
    days = """
        select count(*), min(coupons), max(coupons) from (
            select days.day, department, count(*) as coupons
            from generate_series(date '2023-11-01', date '2026-10-31', interval 1 day) as days (day)
            inner join coupons on days.day between start_date and end_date
            group by 1, 2
        )
    """
    count, least, most = one(db, days)
    assert count == 1096 * len(DEPARTMENTS)
    assert 3 <= least < most <= 8


@pytest.mark.parametrize("day", ["2010-01-01", "2021-03-18"])
def test_every_kind_of_coupon_on_the_example_days(db, day):
    assert kinds_valid_on(db, day) == set(pairs(TYPES, DEPARTMENTS))


def test_no_coupon_on_a_day_before_there_were_any(db):
    assert kinds_valid_on(db, "1976-02-05") == set()


def test_every_kind_of_coupon_on_any_later_day(db):
    days = """
        select count(*), min(kinds) from (
            select days.day, count(distinct (coupon_type, department)) as kinds
            from generate_series(date '2026-11-01', date '2035-12-31', interval 1 day) as days (day)
            left join coupons on days.day between start_date and end_date
            group by 1
        )
    """
    count, kinds = one(db, days)
    assert count == (date(2035, 12, 31) - date(2026, 11, 1)).days + 1
    assert kinds == len(TYPES) * len(DEPARTMENTS)


# --- coupon use ---


def test_paid_prices(db):
    wrong = """
        select count(*)
        from order_lines
        inner join products using (product_id)
        left join coupons using (coupon_id)
        where original_price <> buy_price
            or round(paid_price * 100) <> floor(
                (round(original_price * 100) * (100 - coalesce(discount, 0)) + 50) / 100
            )
    """
    assert value(db, wrong) == 0
    assert value(db, "select count(*) from order_lines where paid_price < original_price") > 1000


def test_lines_of_a_used_coupon(db, seeds_db):
    used = """
        with used as (
            select
                order_id, coupon_id, count(*) as lines, count(distinct product_id) as products
            from order_lines where coupon_id is not null group by 1, 2
        ),
        judged as (
            select coupon_type, case coupon_type
                when 'buy_more' then lines = how_many_products_required and products = 1
                when 'buy_all'
                then lines = how_many_products_required and products = how_many_products_required
                when 'just_discount' then lines = 1
                when 'department' then lines between 1 and 3
            end as is_right
            from used inner join coupons using (coupon_id)
        )
        select coupon_type, count(*), bool_and(is_right) from judged group by 1
    """
    strangers = """
        select count(*) from order_lines
        anti join coupon_products using (coupon_id, product_id)
        where coupon_id is not null
    """
    for connection in (db, seeds_db):
        found = connection.execute(used).fetchall()
        assert {row[0] for row in found} == TYPES
        assert all(is_right for _, _, is_right in found), found
        assert value(connection, strangers) == 0


def assert_same_pairs(connection, these, those):
    for one_side, other in ((these, those), (those, these)):
        missing = f"""
            select count(*) from (
                select order_id, coupon_id from {one_side}
                except all
                select order_id, coupon_id from {other}
            )
        """
        assert value(connection, missing) == 0, one_side


def test_candidates_are_the_valid_coupons_of_an_orders_departments(db):
    db.execute(
        """
        create or replace table candidates as
        with bought as (
            select distinct order_id, ordered_at::date as day, department
            from order_lines
            inner join products using (product_id)
            inner join orders using (order_id)
        )
        select order_id, coupon_id
        from bought
        inner join coupons
            on coupons.department = bought.department and day between start_date and end_date
        """
    )
    assert value(db, "select count(*) from candidates") > 10_000
    assert_same_pairs(db, "candidates", "truth")


def test_labels_agree_with_the_files(db):
    lines = "(select distinct order_id, coupon_id from order_lines where coupon_id is not null)"
    assert_same_pairs(db, "truth where used", lines)


def test_use_is_as_likely_as_the_probabilities_say(db):
    """Overall and for the less and more likely tenths, within five standard errors."""
    tenths = db.execute(
        """
        select sum(used::int), sum(probability), sum(probability * (1 - probability)) from (
            select *, ntile(10) over (order by probability, order_id, coupon_id) as tenth
            from truth
        ) group by rollup (tenth)
        """
    ).fetchall()
    assert len(tenths) == 11
    for used, expected, variance in tenths:
        assert abs(used - expected) < 5 * sqrt(variance), (used, expected)
    assert 0.03 < value(db, "select avg(used::int) from truth") < 0.1


def test_probabilities_tell_users_from_others(db):
    """The twentieth most likely by the truth is used half as often again as by groups, or more.

    Groups are the coupon's type and department, each as likely as its mean use.
    """
    share = """
        select avg(used::int) from (
            select * from truth
            inner join coupons using (coupon_id)
            inner join (
                select coupon_type, department, avg(used::int) as rate
                from truth inner join coupons using (coupon_id) group by 1, 2
            ) using (coupon_type, department)
            order by {} desc, order_id, coupon_id
            limit (select count(*) // 20 from truth)
        )
    """
    assert value(db, share.format("probability")) > 1.5 * value(db, share.format("rate"))


def test_every_type_of_coupon_is_the_best_for_some(db):
    """Of the coupons that an order could use in a department, the likeliest is of any type."""
    leads = """
        with led as (
            select order_id, department, arg_max(coupon_type, probability) as coupon_type
            from truth inner join coupons using (coupon_id)
            group by 1, 2 having max(probability) > 0.2
        )
        select coupon_type, count(*) / (select count(*) from led) from led group by 1
    """
    shares = dict(db.execute(leads).fetchall())
    assert set(shares) == TYPES
    assert min(shares.values()) > 0.05
    assert max(shares.values()) < 0.6


def test_a_whole_department_is_never_far_reduced(db):
    most = """
        select max(discount) filter (where coupon_type = 'department'), max(discount) from coupons
    """
    of_departments, of_all = one(db, most)
    assert of_departments <= of_all / 2


# --- seeds ---


def test_seeds_are_small_and_always_the_same(seeds, tmp_path):
    folder, rows = seeds
    assert_seeds_are_committed(seeds, [f"raw_store__{name}.csv" for name in RAW + READY])
    write_seeds(tmp_path)
    total = 0
    for name in rows:
        content = (folder / name).read_bytes()
        assert content == (tmp_path / name).read_bytes()
        assert 0 < rows[name] <= 300
        assert content.count(b"\n") == rows[name] + 1
        total += len(content)
    assert total < 200 * 1024


def test_seeds_use_every_kind_of_coupon(seeds_db):
    assert values(seeds_db, "select department from coupons") == DEPARTMENTS | {"Sports"}
    used = """
        select distinct coupon_type, replace(department, 'Sports', 'Sport')
        from order_lines inner join coupons using (coupon_id)
    """
    assert set(seeds_db.execute(used).fetchall()) == set(pairs(TYPES, DEPARTMENTS))
    several = "select max(orders) from (select count(*) as orders from orders group by customer_id)"
    assert value(seeds_db, several) > 1
    for day in ("2010-01-01", "2021-03-18"):
        kinds = {
            (kind, department.replace("Sports", "Sport"))
            for kind, department in kinds_valid_on(seeds_db, day)
        }
        assert kinds == set(pairs(TYPES, DEPARTMENTS)), day


def test_seeds_have_ready_rows_of_every_case(seeds_db):
    known = """
        select
            count(*) filter (where coupon_id in (select coupon_id from coupons)),
            count(*) filter (where coupon_id not in (select coupon_id from coupons))
        from coupon_info
    """
    assert one(seeds_db, known) == (1, 2)
    known = """
        select
            count(*) filter (where customer_id in (select customer_id from orders)),
            count(*) filter (
                where customer_id in (select customer_id from customers)
                    and customer_id not in (select customer_id from orders)
            ),
            count(*) filter (where customer_id not in (select customer_id from customers))
        from customer_info
    """
    assert one(seeds_db, known) == (1, 1, 2)
    nothing_known = """
        select count(*) from customers
        anti join orders using (customer_id)
        anti join customer_info using (customer_id)
    """
    assert value(seeds_db, nothing_known) == 2
