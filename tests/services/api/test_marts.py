"""Any released mart, by its contract: each is compared with the rows that it was made from.

Besides the shipped marts there is a user's own, `store.my visits`, with every type and names
that need quotes.
"""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from pollux.contracts import Column, Contract, contract_json
from pollux.runtime.serving import READER_ROLE, ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.api.names import quoted
from services.common.contracts import contract_of
from tests.conftest import PROJECT_DIR
from tests.services.api.support import (
    DOMAINS,
    LARGEST,
    NUMBER,
    Row,
    client_of,
    contracts,
    embedded_store,
    problem,
    read_all,
    release_all,
    release_rows,
    switch,
    wait_until,
    write_release,
)

pytestmark = pytest.mark.integration

OWN = "my visits"
ATTACK = 'b"; drop schema store__r3 cascade; --'
COLUMNS = {
    "day": "date",
    'a "mark"': "text",
    "at": "timestamp",
    "is_new": "boolean",
    "price": "decimal(18, 2)",
    "share": "double precision",
    "visits": "integer",
    "limit": "bigint",
    "note": "text",
}
KEY = ("at", "is_new", 'a "mark"')
INDEXES = (("day",), ("price", "share"), ("visits", "limit"))
CONTRACT = Contract(
    domain="store",
    name=OWN,
    description="One row per visit.",
    columns=tuple(
        Column(name=name, data_type=kind, is_required=name == "day", description=f"Says {name}.")
        for name, kind in COLUMNS.items()
    ),
    key=KEY,
    indexes=INDEXES,
)
TAKEN = 'at, is_new, a "mark", day, price, share, visits, limit, next, fields, count and sort'
BEGIN = datetime.fromisoformat("2024-01-01T00:30:00")
ROWS: list[Row] = [
    {
        "day": date(2024, 1, 1 + place % 5),
        'a "mark"': ["a", ATTACK, "ü/ %"][place % 3],
        "at": BEGIN + timedelta(hours=place, milliseconds=250 * (place % 2)),
        "is_new": place % 2 == 0,
        "price": None if place % 7 == 0 else Decimal(place % 4) + Decimal("0.10"),
        "share": place / 3,
        "visits": place % 6,
        "limit": LARGEST - place,
        "note": None,
    }
    for place in range(40)
]


def add_own_mart(connection: psycopg.Connection) -> None:
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in COLUMNS.items())
    key = ", ".join(quoted(name) for name in KEY)
    table = f'store__r{NUMBER}."{OWN}"'
    connection.execute(f"create table {table} ({columns}, primary key ({key}))")
    places = ", ".join(["%s"] * len(COLUMNS))
    connection.cursor().executemany(
        f"insert into {table} values ({places})", [list(row.values()) for row in ROWS]
    )
    connection.execute(f"grant select on {table} to {READER_ROLE}")
    connection.execute(
        "insert into release.contracts values ('store', %s, %s, %s::jsonb)",
        [NUMBER, OWN, contract_json(CONTRACT)],
    )


@pytest.fixture(scope="module")
def installation(installation: tuple[Settings, ServingStore]) -> tuple[Settings, ServingStore]:
    with installation[1].connect(autocommit=True) as connection:
        add_own_mart(connection)
    return installation


def in_json(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def shown(rows: list[Row], key: tuple[str, ...] = KEY) -> list[Row]:
    """Rows as documents, in the order of their key."""
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in key))
    return [{name: in_json(value) for name, value in row.items()} for row in ordered]


def as_documents(documents: list[Row]) -> list[Row]:
    """Times of PostgreSQL leave out zeros at the end, as Python does not."""
    assert all(row["at"].endswith("Z") for row in documents)
    times = [datetime.fromisoformat(row["at"].removesuffix("Z")) for row in documents]
    return [row | {"at": time.isoformat()} for row, time in zip(documents, times, strict=True)]


def test_list_names_every_mart_of_every_domain(client: httpx.Client) -> None:
    answer = client.get("/v1/marts")
    listed = {(one["domain"], one["mart"]): one for one in answer.json()["data"]}
    expected = {(domain, mart) for domain in DOMAINS for mart in contracts(domain)}
    assert set(listed) == expected | {("store", OWN)}
    for (domain, mart), one in listed.items():
        assert one["release"] == f"{domain}-{NUMBER}"
        assert one["path"] == f"/v1/marts/{domain}/{mart}"
    assert listed["store", "coupon_info"]["key"] == ["coupon_id"]
    assert listed["store", "coupon_info"]["filters"] == [
        "coupon_id", "department", "discount", "start_date", "end_date", "product_mean_price",
    ]  # fmt: skip
    assert answer.headers["x-pollux-release"] == "customer-3, household-3, loyalty-3, store-3"
    of_store = client.get("/v1/marts/store").json()["data"]
    assert of_store == [one for one in answer.json()["data"] if one["domain"] == "store"]


@pytest.mark.parametrize(
    ("domain", "mart"), [(domain, mart) for domain in DOMAINS for mart in contracts(domain)]
)
def test_every_shipped_mart_is_served_with_its_columns(
    client: httpx.Client, domain: str, mart: str
) -> None:
    rows = release_rows(domain, NUMBER).get(mart, [])
    found = read_all(client, f"/v1/marts/{domain}/{mart}", {}, 1000)
    key = contract_of(domain, mart).key
    assert len(found) == len(rows)
    keys = {tuple(str(in_json(row[name])) for name in key) for row in rows}
    assert {tuple(str(row[name]) for name in key) for row in found} == keys
    # However they are cut, the pages are the same list, and numbers are in the order of numbers.
    assert read_all(client, f"/v1/marts/{domain}/{mart}", {}, 7) == found
    if all(isinstance(row[name], int) for row in found for name in key):
        in_order = [tuple(row[name] for name in key) for row in found]
        assert in_order == sorted(in_order)
    declared = contracts(domain)[mart]["columns"]
    schema = client.get(f"/v1/marts/{domain}/{mart}/schema").json()
    assert [one["name"] for one in schema["columns"]] == [one["name"] for one in declared]
    for one, other in zip(schema["columns"], declared, strict=True):
        assert one["data_type"] == other["data_type"]
        assert one["description"] == " ".join(other["description"].split())
    for row in found[:3]:
        assert list(row) == [one["name"] for one in declared]


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_are_the_whole_mart_in_the_order_of_its_key(client: httpx.Client, limit: int) -> None:
    found = read_all(client, f"/v1/marts/store/{OWN}", {}, limit)
    assert as_documents(found) == shown(ROWS)


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("day", "2024-01-03", date(2024, 1, 3)),
        ('a "mark"', ATTACK, ATTACK),
        ('a "mark"', "ü/ %", "ü/ %"),
        ("at", "2024-01-01T03:30:00.25", datetime.fromisoformat("2024-01-01T03:30:00.25")),
        ("at", "2024-01-01 05:30:00.25+02:00", datetime.fromisoformat("2024-01-01T03:30:00.25")),
        ("is_new", "true", True),
        ("price", "2.10", Decimal("2.10")),
        ("price", "2.1", Decimal("2.10")),
        ("price", "2.101", Decimal("2.101")),
        ("share", str(5 / 3), 5 / 3),
        ("visits", "4", 4),
        ("visits", str(LARGEST), LARGEST),
    ],
)  # fmt: skip
def test_filters_keep_what_equals(client: httpx.Client, column: str, text: str, value: Any) -> None:
    found = read_all(client, f"/v1/marts/store/{OWN}", {column: text}, 3)
    assert as_documents(found) == shown([row for row in ROWS if row[column] == value])
    assert bool(found) == (value not in {Decimal("2.101"), LARGEST})


def test_filters_are_combined_and_paged(client: httpx.Client) -> None:
    asked = {"is_new": "false", "day": "2024-01-02"}
    found = read_all(client, f"/v1/marts/store/{OWN}", asked, 2)
    kept = [row for row in ROWS if not row["is_new"] and row["day"] == date(2024, 1, 2)]
    assert len(kept) > 2
    assert as_documents(found) == shown(kept)


def test_fields_are_given_once_or_repeated(client: httpx.Client) -> None:
    kept = [{"note": row["note"], "visits": row["visits"]} for row in shown(ROWS)]
    for query in ("fields=note,visits", "fields=note&fields=visits"):
        assert client.get(f"/v1/marts/store/{OWN}?{query}").json()["data"] == kept


def test_schema_says_what_rows_hold(client: httpx.Client) -> None:
    schema = client.get(f"/v1/marts/store/{OWN}/schema").json()
    assert schema["description"] == "One row per visit."
    assert schema["key"] == list(KEY)
    # The column `limit` cannot be one: a page is asked for with it.
    assert schema["filters"] == [*KEY, "day", "price", "share", "visits"]
    types = {one["name"]: (one["type"], one["is_nullable"]) for one in schema["columns"]}
    assert types == {
        "day": ("string", False), 'a "mark"': ("string", False), "at": ("string", False),
        "is_new": ("boolean", False), "price": ("number", True), "share": ("number", True),
        "visits": ("integer", True), "limit": ("integer", True), "note": ("string", True),
    }  # fmt: skip
    assert schema["columns"][0]["description"] == "Says day."


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        (
            "colour=red", "colour",
            f"Not a parameter of this path, which takes {TAKEN}",
        ),
        ("note=x", "note", "Not a parameter of this path, which takes"),
        ("day=2024-1-3", "day", "not a date as 2024-12-31"),
        ("day=1704240000", "day", "not a date as 2024-12-31"),
        ("at=1704240000", "at", "not a timestamp as 2024-12-31 23:59:59"),
        ("at=2024-13-01T00:00:00", "at", "no such time"),
        ("at=0001-01-01T00:00:00%2B01:00", "at", "no such time"),
        ("visits=7.5", "visits", "not a whole number"),
        ("visits=9223372036854775808", "visits", "beyond 64 bits"),
        ("price=NaN", "price", "not a number; leave the field blank for null"),
        ("price=dear", "price", "not a number"),
        ("share=inf", "share", "not a number"),
        ("is_new=perhaps", "is_new", "not true or false"),
        ("a%20%22mark%22=", 'a "mark"', "Input should be a valid string"),
        ("a%20%22mark%22=%00", 'a "mark"', "NUL byte"),
        ("limit=0", "limit", "Input should be greater than or equal to 1"),
        ("limit=1001", "limit", "Input should be less than or equal to 1000"),
        ("next=abc", "next", "Not a next of this list"),
        ("limit=3&limit=4", "limit", "Given 2 times; it takes one value"),
        ("price=1&price=2", "price", "Given 2 times; it takes one value"),
        ("sort=note", "sort", "Not one of at, day, price, visits"),
        ("sort=--at", "sort", "Not one of at, day, price, visits"),
        ("fields=at,limits", "fields", "No field 'limits' in these documents, which have day"),
        ("count=perhaps", "count", "not true or false"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(
    client: httpx.Client, query: str, name: str, words: str
) -> None:
    document = problem(client.get(f"/v1/marts/store/{OWN}?{query}"), 422, "invalid-input")
    (error,) = document["errors"]
    assert (error["in"], error["name"]) == ("query", name)
    assert error["detail"].startswith(words)


@pytest.mark.parametrize(
    "path", ["/v1/marts", "/v1/marts/store", "/v1/marts/store/coupon_info/schema"]
)
def test_what_is_said_of_marts_takes_no_parameters(client: httpx.Client, path: str) -> None:
    document = problem(client.get(f"{path}?domain=store"), 422, "invalid-input")
    assert document["errors"][0]["name"] == "domain"


def test_a_next_belongs_to_its_mart_and_its_filters(client: httpx.Client) -> None:
    first = client.get(f"/v1/marts/store/{OWN}", params={"limit": 2}).json()
    for path, more in [
        ("/v1/marts/store/coupon_info", {}),
        (f"/v1/marts/store/{OWN}", {"is_new": "true"}),
    ]:
        answer = client.get(path, params={"limit": 2, "next": first["next"], **more})
        problem(answer, 422, "invalid-input")


@pytest.mark.parametrize("tail", ["", "/schema"])
def test_unknown_names_are_told_the_known_ones(client: httpx.Client, tail: str) -> None:
    document = problem(client.get(f"/v1/marts/shop/coupon_info{tail}"), 404, "unknown-domain")
    assert document["detail"] == (
        "No release of a domain shop; there are releases of customer, household, loyalty, store."
    )
    document = problem(client.get(f"/v1/marts/loyalty/coupon_info{tail}"), 404, "unknown-mart")
    assert document["detail"] == (
        "No mart coupon_info in loyalty; its marts are conversions, loyalty_cleaning_report, "
        "members, promotion_funnel."
    )


@pytest.mark.parametrize(
    "name", ['coupon_info"; drop table x; --', "pg_class", "coupon_info%00", "../release/current"]
)
def test_names_are_looked_up_never_run(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/v1/marts/store/{name.replace('/', '%2F')}")
    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["", "/store", "/store/coupon_info", "/store/coupon_info/schema"])
def test_answers_name_their_release_and_match_its_tag(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/v1/marts{path}")
    assert answer.status_code == 200
    assert "store-3" in answer.headers["x-pollux-release"]
    again = client.get(f"/v1/marts{path}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"/v1/marts{path}", headers={"If-None-Match": '"store-2-0000000000"'})
    assert other.status_code == 200
    assert client.head(f"/v1/marts{path}").headers["etag"] == answer.headers["etag"]


def test_next_release_brings_its_own_contracts() -> None:
    """A column more, and what was known of the release before is forgotten."""
    with embedded_store() as (settings, store), store.connect(autocommit=True) as connection:
        release_all(connection, NUMBER)
        with client_of(create_app(settings)) as client:
            path = "/v1/marts/loyalty/members"
            before = client.get(f"{path}/schema")
            tag = client.get("/v1/marts").headers["etag"]
            write_release(connection, NUMBER + 1, "loyalty")
            connection.execute(
                "alter table loyalty__r4.members add column stars bigint default 5;"
                "update release.contracts set contract = jsonb_set(contract, '{columns,999}', "
                """'{"name": "stars", "data_type": "bigint", "is_required": false}') """
                "where number = 4 and mart = 'members'"
            )
            switch(connection, NUMBER + 1, "loyalty")
            wait_until(
                lambda: client.get(path).headers["x-pollux-release"] == "loyalty-4", seconds=5
            )
            after = client.get(f"{path}/schema")
            assert len(after.json()["columns"]) == len(before.json()["columns"]) + 1
            assert {row["stars"] for row in client.get(path).json()["data"]} == {5}
            assert client.get("/v1/marts").headers["etag"] != tag

            connection.execute("delete from release.contracts where domain = 'store'")
            with client_of(create_app(settings)) as fresh:
                problem(fresh.get("/v1/marts/store/coupon_info"), 503, "release-unreadable")


def test_before_any_release_it_says_so() -> None:
    with embedded_store() as (settings, _), client_of(create_app(settings)) as client:
        for path in ("", "/store", "/store/coupon_info"):
            problem(client.get(f"/v1/marts{path}"), 503, "nothing-released")


@pytest.fixture
def parquet(installation: tuple[Settings, ServingStore]) -> Path:
    """What a release leaves in the data folder."""
    folder = installation[0].releases_dir / "store" / f"r{NUMBER}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "coupon_info.parquet"
    file.write_bytes(b"PAR1" + bytes(range(256)) * 40 + b"PAR1")
    return file


def test_a_mart_comes_as_the_parquet_of_its_release(client: httpx.Client, parquet: Path) -> None:
    (summary,) = (
        one for one in client.get("/v1/marts/store").json()["data"] if one["mart"] == "coupon_info"
    )
    path = summary["parquet"]
    assert path == "/v1/marts/store/coupon_info/parquet"
    whole = client.get(path)
    assert (whole.status_code, whole.content) == (200, parquet.read_bytes())
    assert whole.headers["content-type"] == "application/vnd.apache.parquet"
    assert whole.headers["x-pollux-release"] == f"store-{NUMBER}"
    assert whole.headers["etag"] == client.get("/v1/coupons").headers["etag"]
    assert 'filename="coupon_info-store-3.parquet"' in whole.headers["content-disposition"]
    part = client.get(path, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, parquet.read_bytes()[4:10])
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(whole.content)
    again = client.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_parquet_that_is_not_there_is_said_to_be_elsewhere(client: httpx.Client) -> None:
    document = problem(client.get("/v1/marts/store/product_info/parquet"), 404, "no-parquet")
    assert document["detail"] == (
        "product_info of store-3 is not kept as Parquet where this API runs: releases leave their "
        "files in the data folder of the installation that makes them. The rows are served as CSV "
        "and NDJSON, too."
    )
    problem(client.get("/v1/marts/store/..%2Fx/parquet"), 404, "unknown-path")
    problem(client.get("/v1/marts/store/nothing/parquet"), 404, "unknown-mart")
    problem(client.get("/v1/marts/shop/coupon_info/parquet"), 404, "unknown-domain")
    found = problem(client.get("/v1/marts/store/coupon_info/parquet?x=1"), 422, "invalid-input")
    assert found["errors"][0]["name"] == "x"


def test_documentation_says_which_mart_has_which_routes(client: httpx.Client) -> None:
    text = (PROJECT_DIR / "docs/api.md").read_text()
    table = text.partition("| domain | mart | routes |")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w*) ?\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
    described = client.get("/openapi.json").json()["paths"]
    listed: list[str] = []
    named: list[tuple[str, str]] = []
    domain = ""
    for of_domain, mart, routes in rows:
        domain = of_domain or domain
        named.append((domain, mart))
        found = re.findall(r"`(.+?)`", routes)
        assert found, mart
        for route in found:
            if route.startswith("/v1/marts/"):
                assert route == f"/v1/marts/{domain}/{mart}"
            else:
                listed.append(route)
    # Every mart, and every route that is of one.
    assert sorted(named) == sorted((one, mart) for one in DOMAINS for mart in contracts(one))
    others = (
        *("/v1/marts", "/v1/releases", "/v1/live", "/v1/quality", "/v1/alerts"),
        "/v1/subjects",
    )
    of_marts = [path for path in described if path.startswith("/v1/")]
    assert sorted(listed) == sorted(path for path in of_marts if not path.startswith(others))
    assert "(docs/api.md#any-mart)" in (PROJECT_DIR / "README.md").read_text()
