"""No served day or time is ever infinite: every such column, at its edges, at every door."""

import asyncio
import json
from datetime import date, datetime
from typing import Any

import httpx
import pytest
from psycopg.sql import SQL, Identifier

from pollux import Cohort
from pollux.contracts import Contract
from pollux.domains import DOMAINS as GATEWAY
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from pollux.sources import StoreSource
from services.common.contracts import contract_of
from services.common.database import Database
from services.common.releases import Release
from services.events.coupons.catalogue import Catalogue
from tests.services.api.support import DOMAINS, NUMBER, contracts, read_all

pytestmark = pytest.mark.integration

IS_DAY = {"date", "timestamp"}
# The first and the last that a type of the table holds, as PostgreSQL and JSON write them.
EDGES = {
    "date": (date(1000, 1, 1), date(9999, 12, 31)),
    "timestamp": (
        datetime(1000, 1, 1),  # noqa: DTZ001 - the marts hold UTC without saying so
        datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
    ),
}
MARTS = [
    contract
    for domain in DOMAINS
    for name in contracts(domain)
    for contract in [contract_of(domain, name)]
    if any(column.data_type in IS_DAY for column in contract.columns)
]
# A day decides the order of these pages.
SORTED = [
    ("/v1/coupons", "start_date"), ("/v1/coupons", "end_date"), ("/v1/accounts", "sign_up_date"),
    ("/v1/coupon-offers", "event_date"),
]  # fmt: skip


def days_of(contract: Contract) -> list[str]:
    return [column.name for column in contract.columns if column.data_type in IS_DAY]


def as_written(day: date) -> str:
    """A day, or a moment in UTC, which says so."""
    return day.isoformat() + ("Z" if isinstance(day, datetime) else "")


def edge_row(contract: Contract, place: int) -> dict[str, Any]:
    """A row whose days are all at an edge: the first, or the last."""
    plain = {"text": f"edge@{place}", "boolean": True, "double precision": 0.5}
    row: dict[str, Any] = {}
    for column in contract.columns:
        kind = column.data_type
        edges = EDGES.get(kind, (-7001, -7002))
        row[column.name] = plain.get(kind, edges[place])
    return row


@pytest.fixture(scope="module")
def edges(installation: tuple[Settings, ServingStore]) -> None:
    with installation[1].connect(autocommit=True) as connection:
        for contract in MARTS:
            for place in (0, 1):
                row = edge_row(contract, place)
                connection.execute(
                    SQL("insert into {} ({}) values ({})").format(
                        Identifier(f"{contract.domain}__r{NUMBER}", contract.name),
                        SQL(", ").join(map(Identifier, row)),
                        SQL(", ").join(SQL("%s") for _ in row),
                    ),
                    list(row.values()),
                )


@pytest.fixture
def store(installation: tuple[Settings, ServingStore], edges: None) -> ServingStore:
    return installation[1]


def test_marts_with_days_are_many() -> None:
    assert len(MARTS) >= 7
    assert {kind for one in MARTS for kind in (c.data_type for c in one.columns)} >= IS_DAY


@pytest.mark.parametrize("contract", MARTS, ids=lambda one: one.name)
def test_the_api_serves_every_day_as_it_is(
    client: httpx.Client, edges: None, contract: Contract
) -> None:
    path = f"/v1/marts/{contract.domain}/{contract.name}"
    for place in (0, 1):
        row = edge_row(contract, place)
        written = {name: as_written(row[name]) for name in days_of(contract)}
        asked = {name: written.get(name, row[name]) for name in contract.key}
        (found,) = client.get(path, params=asked).json()["data"]
        assert {name: found[name] for name in written} == written
    # Pages pass it wherever it stands.
    rows = client.get(path, params={"limit": 1000}).json()["data"]
    assert read_all(client, path, {}, 7) == rows
    assert "infinity" not in json.dumps(rows)


@pytest.mark.parametrize(("path", "sort"), SORTED)
def test_pages_in_the_order_of_a_day_pass_its_edges(
    client: httpx.Client, edges: None, path: str, sort: str
) -> None:
    for sign, place in (("", 0), ("-", 1)):
        rows = read_all(client, path, {"sort": f"{sign}{sort}"}, 1)
        assert rows[0][sort] == EDGES["date"][place].isoformat()
        assert len(rows) == len(client.get(path, params={"limit": 1000}).json()["data"])


@pytest.mark.parametrize("contract", MARTS, ids=lambda one: one.name)
def test_the_gateway_reads_every_day_as_it_is(store: ServingStore, contract: Contract) -> None:
    """As rows and as a stream, which read days in two ways."""
    source = StoreSource(store, contract.domain, NUMBER)
    domain = GATEWAY[contract.domain]
    tables = [source.read(contract.name)]
    if domain.id_column in {column.name for column in contract.columns}:
        ids = [edge_row(contract, place)[domain.id_column] for place in (0, 1)]
        few = source.read(contract.name, id_column=domain.id_column, ids=domain.array(ids))
        assert len(few) == 2
        tables.append(few)
    for table in tables:
        rows = table.to_pylist()
        for name in days_of(contract):
            kind = contract.column(name).data_type
            found = {row[name] for row in rows if row[name] is not None}
            assert found >= set(EDGES[kind])
            assert {type(one) for one in found} == {type(EDGES[kind][0])}


def test_a_cohort_compares_days_at_their_edges(
    installation: tuple[Settings, ServingStore], edges: None
) -> None:
    cohort: Any = Cohort.init_all_customers(source="store", settings=installation[0])
    assert cohort.where(churn_date="9999-12-31").ids == ["-7002"]
    assert cohort.where(churn_date="1000-01-01").ids == ["-7001"]


def test_offers_have_every_day_as_it_is(store: ServingStore) -> None:
    release = Release("store", NUMBER, None, "test")

    async def read() -> list[dict[str, Any]]:
        database = Database(store)
        catalogue = Catalogue(database, release)
        await catalogue.read_documents([-7001, -7002])
        valid = await catalogue.valid_coupons(date.max)
        database.close()
        assert [one["coupon_id"] for one in valid["edge@1"]] == [-7002]
        found = [catalogue.document(coupon) for coupon in (-7001, -7002)]
        return [json.loads(one.whole.body) for one in found if one is not None]

    for place, document in enumerate(asyncio.run(read())):
        day = EDGES["date"][place].isoformat()
        assert (document["start_date"], document["end_date"]) == (day, day)
