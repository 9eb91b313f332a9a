"""Customers and cohorts read from the files of a release."""

import copy
import doctest
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from pollux import (
    Cohort,
    Customer,
    EnrichmentData,
    GatewayError,
    NoDatabaseError,
    NothingReleasedError,
    ReleaseGoneError,
    StoreCustomer,
    TableEnrichment,
    UnknownColumn,
    UnknownCustomer,
    UnknownEnrichment,
    col,
    registry,
)
from pollux.enrichment import BroadbandData, CouponUseData, SectionsData
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.releases import (
    ACCOUNTS,
    BROADBAND,
    CUSTOMER_TABLES,
    many_accounts,
    small_installation,
    write_release,
)

IDS = ["1000001", "1000002", "1000003", "9693465"]
MANY = many_accounts(300)


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return small_installation(tmp_path, monkeypatch)


@pytest.fixture
def many(settings: Settings) -> Cohort[Customer]:
    write_release(settings, "customer", 2, {"customers": MANY})
    return Cohort.init_all_customers()


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PROJECT_DIR
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("statement", ["import pollux", "import pollux.runtime.errors"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    loaded = run_python(f"import sys; {statement}; print(*sys.modules)").split()
    heavy = {"dagster", "dbt", "fastapi", "pandas", "polars", "pyarrow", "psycopg", "duckdb"}
    assert not heavy & set(loaded)


def test_whole_gateway_loads_no_pipeline_no_service_and_no_pandas() -> None:
    loaded = run_python("import sys; from pollux import *; print(*sys.modules)").split()
    assert "pyarrow" in loaded
    assert not {"dagster", "dbt", "fastapi", "pandas", "polars"} & set(loaded)


def test_gateway_needs_neither_numpy_nor_pandas() -> None:
    code = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "pandas", "polars", "dagster", "dbt", "fastapi"]))
from pollux import Cohort, Customer, col
cohort = Cohort.init_all_customers()
cohort.update_customers("broadband")
found = cohort.where(col("account_number") > 5, account_status="Live")
found = found.generate_cohort(lambda customer: len(customer.broadband_data) > 1)
print(found[::-1].to_arrow()["account_number"], Customer.from_id(found.ids[0]).sign_up_date)
"""
    assert "2021-12-20" in run_python(code)


def test_unknown_name_of_the_package() -> None:
    with pytest.raises(ImportError, match="Kohort"):
        from pollux import Kohort  # noqa: F401, PLC0415


@pytest.mark.parametrize("customer_id", ["9693465", 9693465])
def test_customer_has_every_column_of_the_mart(customer_id: str | int) -> None:
    customer = Customer.from_id(customer_id)
    assert customer.customer_id == "9693465"
    for row in ACCOUNTS.to_pylist():
        if row["account_number"] == 9693465:
            assert customer.to_dict() == row
            assert {name: getattr(customer, name) for name in row} == row
            return
    raise AssertionError


def test_repr_shows_what_is_known() -> None:
    assert repr(Customer.from_id("1000003")) == (
        "Customer('1000003', sign_up_date=datetime.date(2022, 9, 9), sign_up_source='web', "
        "property_occupier_status_at_sign_up='tenant', referral_type='friend', "
        "referral_type_code='FRD', referrers_account_number=9693465)"
    )
    assert repr(Cohort.init_all_customers()) == "<Cohort of 4 from domain customer, release 1>"


@pytest.mark.parametrize(
    "customer_id",
    ["1", "", "x", "9_693465", "9.693465e6", 2**70, -1, 1.5, True, None, [9693465]],
)
def test_others_are_unknown(customer_id: object) -> None:
    with pytest.raises(UnknownCustomer, match="No customer of domain customer has the id"):
        Customer.from_id(customer_id)  # type: ignore[arg-type]
    cohort = Cohort.init_all_customers()
    assert customer_id not in cohort
    with pytest.raises(UnknownCustomer):
        cohort.by_id(customer_id)  # type: ignore[arg-type]


def test_same_customer_is_equal_wherever_it_comes_from(settings: Settings) -> None:
    cohort = Cohort.init_all_customers()
    one, same, child = Customer.from_id("9693465"), cohort.by_id(9693465), cohort[-1:][0]
    write_release(settings, "customer", 2, CUSTOMER_TABLES)
    later = Customer.from_id("9693465")
    assert one == same == child == later
    assert len({one, same, child, later}) == 1
    assert one != cohort[0]
    assert one != "9693465"
    write_release(settings, "store", 1, {"customer_info": store_customers([9693465])})
    assert Customer.from_id("9693465", domain="store") != one


def store_customers(ids: list[int]) -> pa.Table:
    money = pa.decimal128(18, 2)
    return pa.table(
        {
            "customer_id": pa.array(ids, pa.int64()),
            "gender": pa.array(["F"] * len(ids)),
            "age": pa.array([None] * len(ids), pa.int32()),
            "mean_buy_price": pa.array([Decimal("9.99")] * len(ids), money),
            "total_coupons_used": pa.array([3] * len(ids), pa.int64()),
            "mean_discount_received": pa.array([Decimal("12.50")] * len(ids), money),
            "unique_products_bought": pa.array([5] * len(ids), pa.int64()),
            "unique_products_bought_with_coupons": pa.array([2] * len(ids), pa.int64()),
            "total_items_bought": pa.array([8] * len(ids), pa.int64()),
        }
    )


def test_other_domains(settings: Settings) -> None:
    write_release(settings, "store", 1, {"customer_info": store_customers([7, 8])})
    members = pa.table(
        {
            "email": ["b@x.com", "a@x.com"],
            "fb_user": ["b", None],
            "insta_user": pa.array([None, None], pa.string()),
            "gender": ["F", None],
            "joined_by": ["list", "purchase"],
            "joined_at": pa.array([None, None], pa.timestamp("us")),
        }
    )
    write_release(settings, "loyalty", 1, {"members": members})

    shoppers: Cohort[StoreCustomer] = Cohort.init_all_customers(domain="store")
    assert [customer.customer_id for customer in shoppers] == ["7", "8"]
    assert shoppers[0].mean_buy_price == Decimal("9.99")
    shoppers.update_customers("coupon_use")
    assert shoppers[0].coupon_use_data == {
        "customer_id": 7,
        "total_coupons_used": 3,
        "mean_discount_received": Decimal("12.50"),
        "unique_products_bought_with_coupons": 2,
        "total_items_bought": 8,
    }
    with pytest.raises(UnknownEnrichment, match=r"'broadband' for domain store.*: coupon_use\."):
        shoppers.update_customers("broadband")

    fans = Cohort.init_all_customers(domain="loyalty")
    assert fans.ids == ["a@x.com", "b@x.com"]
    assert fans.by_id(" B@X.com").fb_user == "b"
    assert Customer.from_id("a@x.com", domain="loyalty").joined_by == "purchase"
    with pytest.raises(UnknownCustomer):
        Customer.from_id("c@x.com", domain="loyalty")
    with pytest.raises(GatewayError, match=r"no domain 'shop'.*customer, household, store"):
        Cohort.init_all_customers(domain="shop")  # type: ignore[call-overload]
    with pytest.raises(GatewayError, match="domain store, the other of loyalty"):
        shoppers | fans


def test_columns_cannot_be_set() -> None:
    customer = Cohort.init_all_customers()[0]
    for name in ("account_status", "customer_id", "release", "_position", "to_dict"):
        with pytest.raises(AttributeError, match=name):
            setattr(customer, name, None)


def test_what_is_set_on_a_customer_stays_in_its_cohort() -> None:
    cohort = Cohort.init_all_customers()
    cohort[0].flag = "parent"
    child = cohort[:2]
    assert child[0].flag == "parent"
    child[0].flag = "child"
    child[1].flag = "child"
    cohort[2].flag = "later"
    assert (cohort[0].flag, child[0].flag) == ("parent", "child")
    assert not hasattr(cohort[1], "flag")
    grandchild = child.generate_cohort(lambda customer: customer.flag == "child")
    assert grandchild == child
    assert "flag" in dir(child[0])
    with pytest.raises(AttributeError, match=r"1000002 has no 'flag'; columns: account_number, "):
        _ = cohort[1].flag


def test_customers_can_be_copied_and_pickled() -> None:
    customer = Cohort.init_all_customers()[1]
    customer.flag = 1
    for other in (copy.copy(customer), copy.deepcopy(customer)):
        assert (other, other.flag, other.account_status) == (customer, 1, "Churned")
    revived = pickle.loads(pickle.dumps(Cohort.init_all_customers()[1]))
    assert (revived, revived.account_status) == (customer, "Churned")


def test_predicate_sees_what_a_list_of_customers_shows(many: Cohort[Customer]) -> None:
    rows = MANY.to_pylist()
    seen = []

    def predicate(customer: Customer) -> bool:
        seen.append(customer.customer_id)
        if customer.account_status == "Churned":
            return customer.churn_date is not None and customer.churn_date.day == 3
        return customer.sign_up_date > date(2020, 1, 1) and customer.sign_up_source == "web"

    found = many.generate_cohort(predicate)
    expected = [
        str(row["account_number"])
        for row in rows
        if (
            (row["churn_date"] is not None and row["churn_date"].day == 3)
            if row["account_status"] == "Churned"
            else row["sign_up_date"] > date(2020, 1, 1) and row["sign_up_source"] == "web"
        )
    ]
    assert seen == [str(row["account_number"]) for row in rows]
    assert found.ids == expected
    assert 0 < len(expected) < len(rows)


def test_predicate_may_keep_its_customers(many: Cohort[Customer]) -> None:
    kept = []

    def predicate(customer: Customer) -> bool:
        if customer.account_number % 3 == 0:
            kept.append(customer)
        return True

    many.generate_cohort(predicate)
    assert [c.customer_id for c in kept] == [i for i in many.ids if int(i) % 3 == 0]
    assert {type(customer) for customer in kept} == {Customer}
    for customer in kept:
        customer.mark = customer.sign_up_source
    by_id = {row["account_number"]: row for row in MANY.to_pylist()}
    for customer in many:
        if customer.account_number % 3 == 0:
            assert customer.mark == by_id[customer.account_number]["sign_up_source"]


@pytest.mark.parametrize("failing", [1, 150])
def test_failing_predicate_names_the_customer(many: Cohort[Customer], failing: int) -> None:
    bad = many.ids[failing]

    def predicate(customer: Customer) -> bool:
        return customer.churn_date < 1 if customer.customer_id == bad else True  # type: ignore[operator]

    with pytest.raises(TypeError) as caught:
        many.generate_cohort(predicate)
    assert f"Customer('{bad}'" in caught.value.__notes__[0]


def test_where_is_the_same_as_a_predicate(many: Cohort[Customer]) -> None:
    day = date(2020, 1, 1)
    pairs = [
        (
            many.where(col("sign_up_date") >= day, account_status="Live"),
            lambda c: c.sign_up_date >= day and c.account_status == "Live",
        ),
        (many.where(churn_date=None), lambda c: c.churn_date is None),
        (
            many.where(sign_up_source=["web", "phone"]),
            lambda c: c.sign_up_source in {"web", "phone"},
        ),
        (
            many.where((col("churn_date") < day) | ~(col("account_status") == "Churned")),
            lambda c: (c.churn_date and c.churn_date < day) or c.account_status != "Churned",
        ),
        (many.where(), lambda _: True),
        (many[::-3].where(account_status="Pending"), None),
    ]
    for found, predicate in pairs[:-1]:
        assert found == many.generate_cohort(predicate)
    assert pairs[-1][0] == many[::-3].generate_cohort(lambda c: c.account_status == "Pending")
    assert len(pairs[0][0]) > 0


def test_null_meets_no_condition() -> None:
    cohort = Cohort.init_all_customers()
    dead = cohort.where(col("account_status") != "Live")
    assert dead.ids == ["1000002"]


def test_where_names_what_is_wrong() -> None:
    cohort = Cohort.init_all_customers()
    for condition, equal in (((col("singup") > 1,), {}), ((), {"singup": 1})):
        with pytest.raises(UnknownColumn, match=r"no column 'singup'; there are: account_number, "):
            cohort.where(*condition, **equal)
    with pytest.raises(GatewayError, match=r"cannot be compared.*sign_up_date date32"):
        cohort.where(col("sign_up_date") >= "2021-01-01")
    with pytest.raises(GatewayError, match="Python functions go to generate_cohort"):
        cohort.where(lambda _: True)  # type: ignore[arg-type]


def test_frames(many: Cohort[Customer]) -> None:
    assert many.to_arrow().equals(MANY)
    reverse = many[::-1].to_arrow()
    assert reverse.to_pylist() == MANY.to_pylist()[::-1]
    frame = many[:7].to_pandas()
    assert list(frame.account_number) == [int(i) for i in many.ids[:7]]


def test_without_its_library_a_frame_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    cohort = Cohort.init_all_customers()
    with pytest.raises(GatewayError, match="polars, which is not installed: pip install polars"):
        cohort.to_polars()
    with pytest.raises(GatewayError, match="pip install pandas"):
        cohort.to_pandas()


def test_sample_is_repeatable(many: Cohort[Customer]) -> None:
    sample = Cohort.init_sample(size=20, seed=5)
    assert len(sample) == 20
    assert sample == Cohort.init_sample(size=20, seed=5)
    assert sample != Cohort.init_sample(size=20, seed=6)
    assert sample & many == sample
    assert len(Cohort.init_sample()) == len(many)
    assert sample[3].to_dict() == many.by_id(sample[3].customer_id).to_dict()


def test_from_ids_keeps_the_order() -> None:
    cohort = Cohort.from_ids(["9693465", 1000001, "9693465"])
    assert cohort.ids == ["9693465", "1000001"]
    assert cohort.index("1000001") == 1
    with pytest.raises(UnknownCustomer, match="id 5"):
        Cohort.from_ids(["9693465", "5"])


def test_built_in_enrichments() -> None:
    cohort = Cohort.init_all_customers()
    for name in ("broadband", "initial_services", "cashback"):
        cohort.update_customers(name)
    for customer in cohort:
        for attribute, table in (
            ("broadband_data", "customer_broadband"),
            ("initial_services_data", "customer_initial_services"),
            ("cashback_data", "customer_cashback"),
        ):
            whole = CUSTOMER_TABLES[table]
            expected = [
                row
                for row in whole.to_pylist()
                if str(row["account_number"]) == customer.customer_id
            ]
            found = getattr(customer, attribute)
            assert found.to_pylist() == expected
            assert found.schema == whole.schema


def test_enrichment_twice_is_the_same_as_once() -> None:
    cohort = Cohort.init_all_customers()
    cohort.update_customers("broadband")
    once = [customer.broadband_data.to_pylist() for customer in cohort]
    cohort.update_customers("broadband")
    assert [customer.broadband_data.to_pylist() for customer in cohort] == once
    assert cohort._columns.attribute_names == ("broadband_data",)


def test_enriching_a_child_leaves_the_parent_alone() -> None:
    cohort = Cohort.init_all_customers()
    child = cohort[2:]
    enrichment = child.update_customers("broadband")
    assert [len(customer.broadband_data) for customer in child] == [0, 2]
    assert not any(hasattr(customer, "broadband_data") for customer in cohort)
    assert set(enrichment.data["account_number"].to_pylist()) == {9693465}  # type: ignore[attr-defined]
    assert [len(customer.broadband_data) for customer in child[::-1]] == [2, 0]


def test_frames_and_rows_as_declared(settings: Settings) -> None:
    class Pandas(BroadbandData):
        frames = "pandas"

    class First(TableEnrichment):
        domain = BroadbandData.domain
        table = "customer_broadband"
        id_column = "account_number"
        attribute = "line"
        columns = ("package",)
        shape = "row"

    cohort = Cohort.init_all_customers()
    cohort.update_customers("frames", registry={"frames": Pandas})
    assert cohort[0].broadband_data.empty
    assert list(cohort[0].broadband_data.columns) == BROADBAND.column_names
    assert list(cohort[3].broadband_data.package) == ["Fast", "Faster"]
    cohort.update_customers("line", registry={"line": First})
    assert cohort[0].line is None
    assert cohort[3].line == {"account_number": 9693465, "package": "Fast"}
    assert SectionsData.shape == CouponUseData.shape == "row"


def test_enrichment_gets_the_ids_of_its_cohort_as_text() -> None:
    seen = []

    class Seeing(EnrichmentData):
        def query_data(self, customer_ids: Sequence[str] | None = None) -> None:
            seen.append(customer_ids)

        def update_cohort(self, cohort: Cohort[Customer]) -> None:
            assert cohort is self.cohort

    Cohort.init_all_customers()[1:3].update_customers("seeing", registry={"seeing": Seeing})
    assert seen == [["1000002", "1000003"]]


def test_unknown_enrichment_lists_the_known_ones() -> None:
    cohort = Cohort.init_all_customers()
    known = r"'boardband' for domain customer; there are: broadband, cashback, initial_services\."
    with pytest.raises(UnknownEnrichment, match=known):
        cohort.update_customers("boardband")
    with pytest.raises(UnknownEnrichment, match="there are: none"):
        cohort.update_customers("broadband", registry={})
    assert {"rfm", "sections", "recommendations", "coupon_use", "conversions"} <= set(registry)


def test_enrichment_may_not_hide_a_column() -> None:
    with pytest.raises(GatewayError, match="account_status is a column"):
        Cohort.init_all_customers().attach("account_status", str)


def test_table_that_the_release_does_not_have() -> None:
    cohort = Cohort.init_all_customers()
    with pytest.raises(GatewayError, match=r"Release 1 .* no table nothing; it has: customer_br"):
        cohort.read_table("nothing")


def test_a_cohort_keeps_its_release(settings: Settings) -> None:
    cohort = Cohort.init_all_customers()
    changed = BROADBAND.slice(0, 1)
    tables = {**CUSTOMER_TABLES, "customers": ACCOUNTS.slice(1), "customer_broadband": changed}
    write_release(settings, "customer", 2, tables)
    later = Cohort.init_all_customers()
    cohort.update_customers("broadband")
    later.update_customers("broadband")
    assert (cohort.release, later.release) == (1, 2)
    assert (len(cohort), len(later)) == (4, 3)
    assert [len(customer.broadband_data) for customer in cohort] == [0, 1, 0, 2]
    assert [len(customer.broadband_data) for customer in later] == [0, 0, 1]
    assert cohort - later == cohort[:1]
    with pytest.raises(GatewayError, match="of release 1 of customer, the other of 2"):
        cohort | later


def test_a_release_that_is_dropped_says_so(settings: Settings) -> None:
    cohort = Cohort.init_all_customers()
    shutil.rmtree(settings.releases_dir / "customer" / "r1")
    assert cohort[3].first_service_live_date == date(2022, 1, 8)
    with pytest.raises(ReleaseGoneError, match=r"Release 1 of customer.*make the cohort again"):
        cohort.update_customers("broadband")


def test_cohorts_loaded_twice_are_joined_by_id() -> None:
    first, second = Cohort.init_all_customers(), Cohort.init_all_customers()
    joined = first[:1:-1] | second[:3]
    assert joined.ids == ["9693465", "1000003", "1000001", "1000002"]
    assert joined.to_arrow()["account_number"].to_pylist() == [9693465, 1000003, 1000001, 1000002]
    assert joined.index("1000002") == 3
    assert (first[:3] ^ second[1:]).ids == ["1000001", "9693465"]


def test_no_database_says_what_to_start(
    tmp_path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = r"pollux db start .*pollux up.*POLLUX_DATABASE_URL"
    with pytest.raises(NoDatabaseError, match=start):
        Customer.from_id("9693465", source="store")
    nowhere = Settings(data_dir=tmp_path / "nowhere")
    for source in ("auto", "store"):
        with pytest.raises(NoDatabaseError, match=start):
            Cohort.init_all_customers(source=source, settings=nowhere)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(NothingReleasedError, match="run pollux up or pollux build"):
        Cohort.init_all_customers(source="release", settings=nowhere)
    monkeypatch.setenv("POLLUX_DATABASE_URL", f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(NoDatabaseError, match="POLLUX_DATABASE_URL up"):
        Cohort.init_all_customers()
    assert len(Cohort.init_all_customers(source="release")) == 4


def test_empty_release(settings: Settings) -> None:
    write_release(settings, "customer", 2, {"customers": ACCOUNTS.slice(0, 0)})
    cohort = Cohort.init_all_customers()
    assert len(cohort) == 0
    assert cohort == cohort[:] == cohort.where(account_status="Live") == cohort | cohort
    assert cohort.generate_cohort(lambda _: True).to_arrow().schema == ACCOUNTS.schema
    assert len(Cohort.init_sample()) == 0


def test_documented_examples_run() -> None:
    path = PROJECT_DIR / "docs" / "gateway.md"
    failed, tried = doctest.testfile(str(path), module_relative=False)
    assert tried > 20
    assert not failed
