"""The gateway on releases of the whole pipeline: both sources, all domains, the contracts."""

import typing
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest

from orchestration.release.publish import release, rollback
from orchestration.transform.dbt import read_run, target_dir
from orchestration.transform.graph import served_tables
from pollux import (
    Cohort,
    Customer,
    Household,
    NoDatabaseError,
    NothingReleasedError,
    ReleaseGoneError,
    UnknownCustomer,
    registry,
)
from pollux.customer import CLASSES, Column
from pollux.domains import DOMAINS
from pollux.enrichment import TableEnrichment
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.sources import open_source
from tests.support.builds import build_again
from tests.support.installations import Prepared

pytestmark = pytest.mark.integration

PYTHON_TYPES = {
    "bigint": int,
    "integer": int,
    "text": str,
    "date": date,
    "timestamp": datetime,
    "boolean": bool,
    "double precision": float,
    "decimal(18, 2)": Decimal,
}


@pytest.fixture(scope="module")
def released(prepared: Prepared, short_tmp: Path) -> Iterator[Settings]:
    settings = prepared.copy(prepared.everything(), short_tmp / "gateway")
    store = open_serving_store(settings)
    yield settings
    assert store.embedded is not None
    store.embedded.stop()


def warehouse(settings: Settings, query: str) -> list[tuple]:
    with duckdb.connect(settings.warehouse_path, read_only=True) as connection:
        return connection.sql(query).fetchall()


@pytest.mark.parametrize("domain", DOMAINS)
def test_classes_have_the_columns_of_the_contract(released: Settings, domain: str) -> None:
    manifest = read_run(target_dir(released)).manifest
    mart = next(
        table for table in served_tables(manifest, domain) if table.name == DOMAINS[domain].table
    )
    assert mart.key == (DOMAINS[domain].id_column,)
    declared = {
        name: column.__orig_class__.__args__[0]
        for name, column in vars(CLASSES[domain]).items()
        if isinstance(column, Column)
    }
    expected: dict[str, object] = {}
    for column in mart.columns:
        kind = PYTHON_TYPES[column.data_type]
        is_null_free = column.is_required or column.name in mart.key
        expected[column.name] = kind if is_null_free else kind | None
    # The id is text, whatever the mart's column of that name is.
    expected.pop("customer_id", None)
    assert list(declared.items()) == list(expected.items())
    assert all(vars(CLASSES[domain])[name].__doc__ for name in declared)


@pytest.mark.parametrize("domain", DOMAINS)
def test_built_in_enrichments_read_what_the_domain_serves(released: Settings, domain: str) -> None:
    manifest = read_run(target_dir(released)).manifest
    served = {
        table.name: {column.name for column in table.columns}
        for table in served_tables(manifest, domain)
    }
    found = Cohort.init_all_customers(domain=typing.cast("typing.Any", domain), settings=released)
    kinds = {
        name: kind
        for name, kind in registry.items()
        if issubclass(kind, TableEnrichment) and kind.domain.name == domain
    }
    assert kinds
    for name, kind in kinds.items():
        # Learned, so that there may be none yet.
        is_learned = kind.table == "product_recommendations"
        if is_learned and kind.table not in served:
            continue
        assert {kind.id_column, *(kind.columns or ())} <= served[kind.table]
        found.update_customers(name)
        with_rows = [c for c in found if getattr(c, kind.attribute)]
        owners = warehouse(
            released,
            f'select count(distinct "{kind.id_column}") from warehouse_marts."{kind.table}" '
            f'where "{kind.id_column}" in (select "{DOMAINS[domain].id_column}" from '
            f'warehouse_marts."{DOMAINS[domain].table}")',
        )
        assert [(len(with_rows),)] == owners
        assert owners[0][0] > 0 or is_learned


@pytest.mark.parametrize("domain", DOMAINS)
def test_both_sources_give_the_same(released: Settings, domain: typing.Any) -> None:
    by_source = {
        source: Cohort.init_all_customers(domain=domain, source=source, settings=released)
        for source in ("release", "store", "auto")
    }
    files, store = by_source["release"], by_source["store"]
    assert len(files) > 0
    assert files.to_arrow().equals(store.to_arrow())
    assert files.to_arrow().schema == store.to_arrow().schema
    assert by_source["auto"] == files
    assert [type(c._place[0].snapshot.source).__name__ for c in (files[0], store[0])] == [
        "ReleaseFiles",
        "StoreSource",
    ]
    sample = {
        source: Cohort.init_sample(50, seed=3, domain=domain, source=source, settings=released)
        for source in ("release", "store")
    }
    assert sample["release"] == sample["store"]
    assert sample["release"].to_arrow().equals(sample["store"].to_arrow())
    odd = sample["store"][::-2].ids
    for source in ("release", "store"):
        chosen = Cohort.from_ids(odd, domain=domain, source=source, settings=released)
        assert chosen.ids == odd
    manifest = read_run(target_dir(released)).manifest
    for table in served_tables(manifest, domain):
        if DOMAINS[domain].id_column in {column.name for column in table.columns}:
            for cohorts in ({"release": files, "store": store}, sample):
                found = [cohorts[source].read_table(table.name) for source in ("release", "store")]
                assert found[0].schema == found[1].schema
                assert found[0].equals(found[1]), table.name
            some = files.read_table(table.name)[DOMAINS[domain].id_column]
            assert set(map(str, some.to_pylist())) <= set(files.ids)
            assert len(sample["store"].read_table(table.name)) == sum(
                str(value) in set(sample["store"].ids) for value in some.to_pylist()
            )


def test_text_that_looks_like_something_else_arrives_as_it_is(released: Settings) -> None:
    values = ["", None, '"', "a,b", "x\ny", "\\N", "NULL", "é", "'); drop table customers; --"]
    with open_serving_store(released).connect() as connection:
        connection.execute("create schema customer__r99")
        connection.execute(
            "create table customer__r99.odd (account_number bigint primary key, value text, "
            "flag boolean, at timestamp, amount numeric(18, 2), rate double precision)"
        )
        for number, value in enumerate(values):
            connection.execute(
                "insert into customer__r99.odd values (%s, %s, %s, %s, %s, %s)",
                [number, value, number % 2 == 0, f"2020-01-01 00:00:00.00000{number}", 1, 0.1],
            )
        connection.execute("create table customer__r99.texts (email text primary key)")
        connection.execute(
            "insert into customer__r99.texts select coalesce(value, 'b') from customer__r99.odd"
        )
        connection.execute("create table customer__r99.nothing (account_number bigint, x text)")
        connection.execute("grant usage on schema customer__r99 to pollux_reader")
        connection.execute("grant select on all tables in schema customer__r99 to pollux_reader")
    store = open_source(released, DOMAINS["customer"], "store")
    odd = type(store)(store.database, "customer", 99)  # type: ignore[call-arg, attr-defined]
    table = odd.read("odd")
    assert table["value"].to_pylist() == values
    assert table["flag"].to_pylist() == [number % 2 == 0 for number in range(len(values))]
    assert [at.microsecond for at in table["at"].to_pylist()] == list(range(len(values)))
    assert set(table["amount"].to_pylist()) == {Decimal("1.00")}
    assert set(table["rate"].to_pylist()) == {0.1}
    assert len(odd.read("nothing")) == 0
    nasty = pa.array([value for value in values if value is not None])
    found = odd.read("texts", id_column="email", ids=nasty)["email"].to_pylist()
    assert found == sorted(nasty.to_pylist())
    with open_serving_store(released).connect() as connection:
        connection.execute("drop schema customer__r99 cascade")


def test_single_customers_come_from_the_store(released: Settings) -> None:
    customer = Customer.from_id("9693465", settings=released)
    (row,) = warehouse(
        released, "select * from warehouse_marts.customers where account_number = 9693465"
    )
    assert tuple(customer.to_dict().values()) == row
    assert type(customer._place[0].snapshot.source).__name__ == "StoreSource"
    assert customer == Customer.from_id(9693465, source="release", settings=released)
    household = Household.from_id("1", settings=released)
    assert household.rfm_score == household.r_score + household.f_score + household.m_score
    with pytest.raises(UnknownCustomer):
        Customer.from_id("1", settings=released)


def test_a_lost_connection_is_made_again(released: Settings) -> None:
    Customer.from_id("9693465", settings=released)
    with open_serving_store(released).connect(autocommit=True) as connection:
        ended = connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'pollux_reader'"
        ).fetchall()
    assert ended
    assert Customer.from_id("9693465", settings=released).customer_id == "9693465"


def test_a_cohort_keeps_its_release_in_both_sources(released: Settings) -> None:
    cohorts = [
        Cohort.init_all_customers(source=source, settings=released)
        for source in ("release", "store")
    ]
    before = cohorts[0].read_table("customer_broadband")
    with duckdb.connect(released.warehouse_path) as connection:
        connection.execute("update warehouse_marts.customer_broadband set package = 'New'")
    build_again(released, domain="customer")
    assert release(released, "customer").number == 2
    for cohort in cohorts:
        assert cohort.release == 1
        assert cohort.read_table("customer_broadband").equals(before)
        assert (
            cohort[:50].update_customers("broadband").data["package"].to_pylist().count("New") == 0
        )
    later = Cohort.init_all_customers(source="auto", settings=released)
    assert later.release == Customer.from_id("9693465", settings=released).release == 2
    assert set(later.read_table("customer_broadband")["package"].to_pylist()) == {"New"}

    rollback(released, "customer")
    assert Cohort.init_all_customers(settings=released).release == 1
    for _ in range(3):
        build_again(released, domain="customer")
        release(released, "customer")
    assert Cohort.init_all_customers(settings=released).release == 5
    for cohort in cohorts:
        assert cohort[0].customer_id
        with pytest.raises(ReleaseGoneError, match="Release 1 of customer"):
            cohort.update_customers("cashback")
        with pytest.raises(ReleaseGoneError, match="Release 1 of customer"):
            cohort.update_customers("broadband")


def test_files_serve_while_the_store_is_down(released: Settings) -> None:
    store = open_serving_store(released)
    assert store.embedded is not None
    up = Cohort.init_all_customers(settings=released)
    store.embedded.stop()
    assert Cohort.init_all_customers(settings=released) == up
    assert Customer.from_id("9693465", settings=released) in up
    with pytest.raises(NoDatabaseError, match="pollux db start"):
        Customer.from_id("9693465", source="store", settings=released)
    assert not store.embedded.is_running()
    store.embedded.use()
    assert Customer.from_id("9693465", source="store", settings=released) in up


def test_an_empty_store_says_that_nothing_is_released(short_tmp: Path) -> None:
    settings = Settings(data_dir=short_tmp / "empty", database_url=None)
    store = open_serving_store(settings)
    with store.connect(autocommit=True) as connection:
        connection.execute("create role pollux_reader login")
    with pytest.raises(NothingReleasedError, match="Nothing of customer has been released"):
        Cohort.init_all_customers(settings=settings)


def test_reading_takes_no_more_than_the_readers_rights(released: Settings) -> None:
    source = open_source(released, DOMAINS["customer"], "store")
    connection = source.database.connect_reader()  # type: ignore[attr-defined]
    with connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("create table mine (x integer)")
