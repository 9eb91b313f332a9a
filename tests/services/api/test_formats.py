"""Every list in every format: pages joined, NDJSON and CSV are the mart's rows.

Filters, sorts and fields are drawn at random; what they should give is computed here from the rows
that the release was written from.
"""

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from services.common.contracts import contract_of
from tests.services.api.support import (
    DOMAINS,
    NUMBER,
    Row,
    contracts,
    release_rows,
)

pytestmark = pytest.mark.integration

SEED = 20261126
CASES = 3
CSV, NDJSON = "text/csv", "application/x-ndjson"
ROWS = {domain: release_rows(domain, NUMBER) for domain in DOMAINS}
LINKS = ROWS["store"]["coupon_product"]
Keep = Callable[[Row], bool]


class Filter(NamedTuple):
    """A parameter: the column whose values are drawn for it, and which rows a value keeps."""

    column: str
    keep: Callable[[Any, list[Any]], bool]
    most: int = 1


def among(column: str) -> Filter:
    return Filter(column, lambda value, asked: value in asked, most=3)


def at_least(column: str) -> Filter:
    return Filter(column, lambda value, asked: value is not None and value >= asked[0])


def at_most(column: str) -> Filter:
    return Filter(column, lambda value, asked: value is not None and value <= asked[0])


def is_(column: str) -> Filter:
    return Filter(column, lambda value, asked: value == asked[0])


def same(*columns: str) -> dict[str, Filter]:
    return {column: among(column) for column in columns}


class List(NamedTuple):
    """A list: where its rows are, what tells them apart, and what may be asked of it."""

    path: str
    domain: str
    table: str
    key: list[str]
    filters: dict[str, Filter] = {}  # noqa: RUF012
    within: Keep = lambda _row: True
    has_ids: bool = False

    @property
    def id(self) -> str:
        return self.path


def of(column: str, value: Any) -> Keep:
    return lambda row: row[column] == value


def linked(name: str, other: str, value: int) -> Keep:
    found = {link[name] for link in LINKS if link[other] == value}
    return lambda row: row[name] in found


PROMOTION = "Çà 100 %"
LISTS = [
    List(
        "/v1/households", "household", "household_rfm", ["household_key"],
        {
            **same("rfm_bins", "r_score", "f_score", "m_score"),
            "has_demographics": is_("has_demographics"),
            "min_total_sales": at_least("total_sales"), "max_total_sales": at_most("total_sales"),
        },
        has_ids=True,
    ),
    *(
        List(
            f"/v1/households/2/{path}", "household", table, [key],
            filters, of("household_key", 2),
        )
        for path, table, key, filters in [
            ("daily-spend", "daily_hh_spend", "day",
             {"from_day": at_least("day"), "to_day": at_most("day")}),
            ("weekly-sales", "household_weekly_sales", "week_no",
             {"from_week": at_least("week_no"), "to_week": at_most("week_no")}),
            ("campaigns", "campaign_response", "campaign", {"has_redeemed": is_("has_redeemed")}),
            ("recommendations", "product_recommendations", "rank",
             {"only": among("kind"),
              "exclude": Filter("product_id", lambda value, asked: value not in asked, most=3)}),
        ]
    ),
    List(
        "/v1/households/products", "household", "products", ["product_id"],
        same("department", "commodity", "sub_commodity", "brand", "section", "manufacturer"),
        has_ids=True,
    ),
    List(
        "/v1/commodities", "household", "commodities", ["commodity"], same("section"), has_ids=True
    ),
    List(
        "/v1/commodities/SOUP/associations", "household", "commodity_associations",
        ["associated_commodity"], {}, of("commodity", "SOUP"),
    ),
    List(
        "/v1/promotion-effects", "household", "promotion_effect", ["commodity", "support"],
        same("commodity", "support"),
    ),
    List(
        "/v1/households/2/segments", "household", "household_segment_history", ["period_end"],
        {"from_day": at_least("period_end"), "to_day": at_most("period_end")},
        of("household_key", 2),
    ),
    List(
        "/v1/segments", "household", "segment_sizes", ["position"], {}, of("is_latest", True),
    ),
    List(
        "/v1/segments/history", "household", "segment_sizes", ["period_end", "position"],
        {
            **same("segment"), "from_day": at_least("period_end"), "to_day": at_most("period_end"),
        },
    ),
    List(
        "/v1/segments/moves", "household", "segment_moves",
        ["period_end", "from_segment", "to_segment"],
        {
            **same("from_segment", "to_segment"), "from_day": at_least("period_end"),
            "to_day": at_most("period_end"),
        },
    ),
    List(
        "/v1/segments/At%20risk/households", "household", "household_segments", ["household_key"],
        same("r_score", "f_score", "m_score"), of("segment", "At risk"),
    ),
    List("/v1/campaigns", "household", "campaign_summary", ["campaign"], has_ids=True),
    List(
        "/v1/campaigns/18/daily-sales", "household", "daily_campaign_sales", ["day"],
        {"from_day": at_least("day"), "to_day": at_most("day")}, of("campaign", 18),
    ),
    List(
        "/v1/campaigns/18/segments", "household", "campaign_segments", ["position"], {},
        of("campaign", 18),
    ),
    List(
        "/v1/vouchers", "customer", "voucher_ranking",
        ["country_code", "segment_name", "segment", "rank"],
        same("country_code", "segment_name", "segment"),
    ),
    List(
        "/v1/vouchers/segments", "customer", "voucher_segments", ["segment_name", "position"]
    ),
    List("/v1/vouchers/cleaning-report", "customer", "voucher_cleaning_report", ["outcome"]),
    List(
        "/v1/accounts", "customer", "customers", ["account_number"],
        {
            **same("account_status", "sign_up_source"), "signed_up_from": at_least("sign_up_date"),
            "signed_up_to": at_most("sign_up_date"),
            "is_churned": Filter("has_churned", lambda value, asked: value == asked[0]),
        },
        has_ids=True,
    ),
    *(
        List(
            f"/v1/accounts/9693465/{path}", "customer", table, [key], {},
            of("account_number", 9693465),
        )
        for path, table, key in [
            ("broadband", "customer_broadband", "service_number"),
            ("initial-services", "customer_initial_services", "service"),
            ("cashback", "customer_cashback", "cashback_month"),
        ]
    ),
    List(
        "/v1/coupons", "store", "coupon_info", ["coupon_id"],
        {
            **same("department", "coupon_type"), "min_discount": at_least("discount"),
            "product_id": Filter(
                "coupon_id",
                lambda value, asked: linked("coupon_id", "product_id", asked[0])(
                    {"coupon_id": value}
                ),
            ),
            "valid_on": Filter("validity", lambda value, asked: value[0] <= asked[0] <= value[1]),
        },
        has_ids=True,
    ),
    List(
        "/v1/coupons/3/products", "store", "product_info", ["product_id"], {},
        linked("product_id", "coupon_id", 3),
    ),
    List(
        "/v1/coupon-offers", "store", "coupon_offers", ["event_date", "department"],
        {
            **same("department"), "from_day": at_least("event_date"),
            "to_day": at_most("event_date"),
        },
    ),
    List(
        "/v1/products", "store", "product_info", ["product_id"],
        {
            **same("department", "category", "vendor"), "min_price": at_least("buy_price"),
            "max_price": at_most("buy_price"),
        },
        has_ids=True,
    ),
    List(
        "/v1/store-customers", "store", "customer_info", ["customer_id"],
        {**same("gender"), "min_age": at_least("age"), "max_age": at_most("age")},
        has_ids=True,
    ),
    List(
        "/v1/members", "loyalty", "members", ["email"], same("joined_by", "gender"), has_ids=True
    ),
    List(
        "/v1/promotions", "loyalty", "promotion_funnel", ["promotion", "channel"],
        same("promotion", "channel"),
    ),
    List(
        "/v1/promotions/cleaning-report", "loyalty", "loyalty_cleaning_report",
        ["dataset", "outcome"],
    ),
    List(
        f"/v1/promotions/{quote(PROMOTION, safe='')}/funnel", "loyalty", "promotion_funnel",
        ["channel"], {}, of("promotion", PROMOTION),
    ),
    List(
        f"/v1/promotions/{quote(PROMOTION, safe='')}/conversions", "loyalty", "conversions",
        ["conversion_id"], {**same("conversion_type"), "email": is_("email")},
        of("promotion", PROMOTION),
    ),
]  # fmt: skip


def mart_list(domain: str, mart: str) -> List:
    """Any mart, by its contract: names, numbers and days are filtered by several values."""
    contract = contract_of(domain, mart)
    indexed = {*contract.key, *(name for index in contract.indexes for name in index)}
    filters = {
        name: among(name) if _kind(domain, mart, name) in {"text", "int", "date"} else is_(name)
        for name in sorted(indexed)
    }
    return List(f"/v1/marts/{domain}/{mart}", domain, mart, list(contract.key), filters)


def _kind(domain: str, mart: str, column: str) -> str:
    kind = contract_of(domain, mart).column(column).data_type.partition("(")[0]
    return "int" if kind in {"bigint", "integer"} else kind


MART_LISTS = [
    mart_list(domain, mart)
    for domain in DOMAINS
    for mart in contracts(domain)
    if ROWS[domain].get(mart)
]


def rows_of(one: List) -> list[Row]:
    """The rows of a list, with what its filters are by besides the columns."""
    return [
        row
        | {"has_churned": row.get("churn_date") is not None}
        | ({"validity": (row["start_date"], row["end_date"])} if "start_date" in row else {})
        for row in ROWS[one.domain][one.table]
        if one.within(row)
    ]


def drawn(rng: random.Random, one: List, name: str, rows: list[Row]) -> list[Any]:
    """One or several values for a filter, from the rows."""
    column = one.filters[name].column
    if name == "valid_on":
        return [rng.choice(rows)["start_date"]]
    if name == "product_id" and one.table == "coupon_info":
        return [rng.choice(LINKS)["product_id"]]
    values = [row[column] for row in rows if row[column] not in {None, ""}]
    chosen = rng.sample(values, k=min(len(values), rng.randint(1, one.filters[name].most)))
    return list(dict.fromkeys(chosen))


def written(values: list[Any]) -> str:
    """Values as a query takes them; a text with a comma in it stands in quotes."""
    texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    return ",".join('"' + text.replace('"', '""') + '"' if "," in text else text for text in texts)


def in_order(rows: list[Row], key: list[str], sort: str) -> list[Row]:
    """Rows by a column, then by the key; without a value they come last in either direction."""
    column = sort.removeprefix("-")
    columns = [column, *(name for name in key if name != column)]
    valued = [row for row in rows if row[column] is not None]
    without = [row for row in rows if row[column] is None]
    backwards = sort.startswith("-")
    valued.sort(key=lambda row: tuple(row[name] for name in columns), reverse=backwards)
    without.sort(key=lambda row: tuple(row[name] for name in columns[1:]), reverse=backwards)
    return valued + without


def in_json(one: List, name: str, value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if not isinstance(value, date):
        return value
    is_moment = contract_of(one.domain, one.table).column(name).data_type == "timestamp"
    if not isinstance(value, datetime) and is_moment:
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return value.isoformat()


def in_csv(one: List, name: str, value: Any) -> Any:
    """What stands in CSV, by the rule in docs/api.md; floats stay as numbers."""
    kind = contract_of(one.domain, one.table).column(name).data_type
    if value is None:
        return ""
    if kind == "text":
        return f"'{value}" if value[:1] in tuple("=+-@\t\r\n＝＋－＠'") else value  # noqa: RUF001
    if isinstance(value, bool):
        return str(value).lower()
    if kind.startswith("decimal"):
        return f"{value:.2f}"
    return in_json(one, name, value) if isinstance(value, date) else str(value)


def case_of(one: List, rng: random.Random, sorts: list[str]) -> tuple[dict[str, str], list[Row]]:
    """A query at random, and the documents that it should give."""
    rows = rows_of(one)
    names = sorted(one.filters)
    chosen = rng.sample(names, k=rng.randint(0, min(2, len(names))))
    params: dict[str, str] = {}
    for name in chosen:
        values = drawn(rng, one, name, rows)
        if not values:
            continue
        params[name] = written(values)
        wanted = one.filters[name]
        rows = [row for row in rows if wanted.keep(row[wanted.column], values)]
        if not rows:
            break
    if one.has_ids and rng.random() < 0.3:
        (key,) = one.key
        ids = [row[key] for row in rng.sample(rows_of(one), k=5)]
        params["ids"] = written(ids)
        rows = [row for row in rows if row[key] in ids]
    sort = rng.choice(sorts)
    if rng.random() < 0.8:
        params["sort"] = sort
    else:
        sort = one.key[0]
    if one.table == "commodity_associations" and one.path.endswith("associations"):
        params["sort"] = sort
    columns = [column.name for column in contract_of(one.domain, one.table).columns]
    shown = columns
    if rng.random() < 0.4:
        shown = rng.sample(columns, k=rng.randint(1, min(4, len(columns))))
        params["fields"] = ",".join(shown)
    ordered = in_order(rows, one.key, sort)
    return params, [{name: row[name] for name in shown} for row in ordered]


@pytest.fixture(scope="module")
def sorts(client: httpx.Client) -> dict[str, list[str]]:
    """The sorts of each path, as the description has them."""
    paths = client.get("/openapi.json").json()["paths"]
    return {
        path: parameter["schema"]["enum"]
        for path, operations in paths.items()
        for parameter in operations.get("get", {}).get("parameters", [])
        if parameter["name"] == "sort" and "enum" in parameter["schema"]
    }


def sorts_of(client: httpx.Client, one: List, sorts: dict[str, list[str]]) -> list[str]:
    if one.path.startswith("/v1/marts/"):
        known = client.get(f"{one.path}/schema").json()["sorts"]
        return [f"{sign}{column}" for column in known for sign in ("", "-")]
    (template,) = (path for path in sorts if _fits(one.path, path))
    return sorts[template]


def _fits(path: str, template: str) -> bool:
    parts, shape = path.split("/"), template.split("/")
    return len(parts) == len(shape) and all(
        part == name or ((name.startswith("{") and not part.isalpha()) or name == "{commodity}")
        for part, name in zip(parts, shape, strict=True)
    )


def cases(one: List, count: int) -> Iterator[random.Random]:
    for number in range(count):
        yield random.Random(f"{SEED} {one.path} {number}")


def columns_of(one: List, params: dict[str, str]) -> list[str]:
    if "fields" in params:
        return params["fields"].split(",")
    return [column.name for column in contract_of(one.domain, one.table).columns]


def check(client: httpx.Client, one: List, params: dict[str, str], wanted: list[Row]) -> None:
    documents = [{name: in_json(one, name, value) for name, value in row.items()} for row in wanted]
    size = "k" if one.path.endswith("/recommendations") else "limit"

    counted = client.get(one.path, params=params | {"count": "true", size: "1000"})
    assert counted.status_code == 200, counted.text
    assert counted.json() == {"data": documents, "next": None, "count": len(documents)}

    joined: list[Row] = []
    following = ""
    while following is not None:
        page = client.get(one.path, params=params | {size: "7", "next": following}).json()
        joined += page["data"]
        following = page["next"]
    assert joined == documents

    lines = client.get(one.path, params=params, headers={"Accept": NDJSON})
    assert lines.headers["content-type"] == NDJSON
    assert [json.loads(line) for line in lines.text.split("\n")[:-1]] == documents

    table = client.get(one.path, params=params, headers={"Accept": CSV})
    assert table.headers["content-type"] == f"{CSV}; charset=utf-8"
    header, *rows = csv.reader(io.StringIO(table.text, newline=""))
    columns = columns_of(one, params)
    assert header == columns
    kinds = [contract_of(one.domain, one.table).column(name).data_type for name in columns]
    assert [
        [str(float(text)) if text and kind == "double precision" else text
         for text, kind in zip(row, kinds, strict=True)]
        for row in rows
    ] == [[in_csv(one, name, row[name]) for name in columns] for row in wanted]  # fmt: skip
    for answer in (counted, lines, table):
        assert answer.headers["x-pollux-release"] == f"{one.domain}-{NUMBER}"


@pytest.mark.parametrize("one", LISTS, ids=lambda one: one.id)
def test_every_format_is_the_rows(
    client: httpx.Client, sorts: dict[str, list[str]], one: List
) -> None:
    known = sorts_of(client, one, sorts)
    whole = {} if "associations" not in one.path else {"sort": one.key[0]}
    columns = [column.name for column in contract_of(one.domain, one.table).columns]
    rows = in_order(rows_of(one), one.key, one.key[0])
    assert rows
    check(client, one, whole, [{name: row[name] for name in columns} for row in rows])
    for rng in cases(one, CASES):
        params, wanted = case_of(one, rng, known)
        check(client, one, params, wanted)


@pytest.mark.parametrize("one", MART_LISTS, ids=lambda one: one.id)
def test_every_format_of_any_mart_is_the_rows(
    client: httpx.Client, sorts: dict[str, list[str]], one: List
) -> None:
    known = sorts_of(client, one, sorts)
    for rng in cases(one, 1):
        params, wanted = case_of(one, rng, known)
        check(client, one, params, wanted)


def test_every_list_is_among_these(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        parameters = {one["name"]: one for one in operations.get("get", {}).get("parameters", [])}
        if "next" not in parameters or path.startswith("/v1/marts"):
            continue
        (one,) = (one for one in LISTS if _fits(one.path, path))
        asked = {name for name, found in parameters.items() if found["in"] == "query"}
        asked -= {"limit", "k", "next", "sort", "fields", "count", "metric", "text", "live"}
        assert asked - {"ids"} == set(one.filters), path
        assert ("ids" in asked) == one.has_ids, path
        content = operations["get"]["responses"]["200"]["content"]
        assert set(content) == {"application/json", CSV, NDJSON}, path
