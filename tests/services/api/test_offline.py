"""The API without a reachable database: everything but the answers works."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import services
from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.support import asgi

OFFLINE = Settings(
    database_url="postgresql://nobody@127.0.0.1:1/nothing", api_keys="", api_host="127.0.0.1"
)
APP = create_app(OFFLINE)
OF_NO_RELEASE = {"/v1/alerts", "/v1/live", "/v1/subjects/1/1"}
V1_PATHS = [
    "/v1/households",
    "/v1/households/1",
    "/v1/households/1/summary",
    "/v1/households/1/daily-spend",
    "/v1/households/1/weekly-sales",
    "/v1/households/1/campaigns",
    "/v1/households/1/recommendations",
    "/v1/households/1/segments",
    "/v1/segments",
    "/v1/segments/history",
    "/v1/segments/moves",
    "/v1/segments/1/households",
    "/v1/households/products",
    "/v1/households/products/1",
    "/v1/commodities",
    "/v1/commodities/1",
    "/v1/commodities/1/associations",
    "/v1/promotion-effects",
    "/v1/releases",
    "/v1/live",
    "/v1/quality",
    "/v1/campaigns",
    "/v1/campaigns/1",
    "/v1/campaigns/1/daily-sales",
    "/v1/campaigns/1/segments",
    "/v1/vouchers",
    "/v1/vouchers/segments",
    "/v1/vouchers/cleaning-report",
    "/v1/accounts",
    "/v1/accounts/1",
    "/v1/accounts/1/broadband",
    "/v1/accounts/1/initial-services",
    "/v1/accounts/1/cashback",
    "/v1/coupons",
    "/v1/coupons/1",
    "/v1/coupons/1/products",
    "/v1/coupon-offers",
    "/v1/products",
    "/v1/products/1",
    "/v1/store-customers",
    "/v1/store-customers/1",
    "/v1/members",
    "/v1/members/1",
    "/v1/promotions",
    "/v1/promotions/cleaning-report",
    "/v1/promotions/1/funnel",
    "/v1/promotions/1/conversions",
    "/v1/marts",
    "/v1/marts/1",
    "/v1/marts/1/1",
    "/v1/marts/1/1/parquet",
    "/v1/marts/1/1/schema",
]
SELECT = "/v1/vouchers/select"  # fmt: skip


def ask(method: str, path: str, app: Any = APP, **arguments: Any) -> httpx.Response:
    return asgi.ask(app, method, path, **arguments)


@pytest.mark.parametrize("path", V1_PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_without_a_database_routes_answer_503(method: str, path: str) -> None:
    answer = ask(method, path)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    if method == "GET":
        assert answer.json()["type"] == "urn:pollux:problem:database-unavailable"
        assert answer.json()["instance"] == path
        assert "127.0.0.1" not in answer.text


def test_without_a_database_no_voucher_is_selected() -> None:
    asked = {
        "customer_id": 123, "country_code": "Peru", "last_order_ts": "2018-05-03 00:00:00",
        "first_order_ts": "2017-05-03 00:00:00", "total_orders": 15,
        "segment_name": "recency_segment",
    }  # fmt: skip
    answer = ask("POST", SELECT, json=asked)
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:pollux:problem:database-unavailable"
    assert ask("POST", SELECT, json={}).status_code == 422


def test_the_process_is_up_and_not_ready() -> None:
    assert ask("GET", "/healthz").json() == {"status": "up"}
    assert ask("GET", "/readyz").status_code == 503


def test_the_index_leads_everywhere() -> None:
    links = ask("GET", "/").json()["links"]
    assert links["households"] == "/v1/households"
    for path in links.values():
        assert ask("GET", path).status_code in {200, 503}


@settings(max_examples=300)
@given(
    path=st.text(st.characters(codec="utf-8"), max_size=40)
    | st.sampled_from([*V1_PATHS, SELECT]).flatmap(
        lambda path: st.text(max_size=9).map(path.__add__)
    ),
    query=st.binary(max_size=40),
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE", "NONSENSE"]),
)
def test_no_request_makes_the_api_fail(path: str, query: bytes, method: str) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": "/" + path, "root_path": "",
        "raw_path": ("/" + path).encode(), "query_string": query, "headers": [], "scheme": "http",
        "http_version": "1.1", "asgi": {"version": "3.0"},
    }  # fmt: skip
    asyncio.run(APP(scope, receive, send))
    status = sent[0]["status"]
    assert status in {200, 404, 405, 415, 422, 503}
    headers = dict(sent[0]["headers"])
    if status >= 400:
        assert headers[b"content-type"] == b"application/problem+json"


def _operations(description: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, operation)
        for path, operations in description["paths"].items()
        for operation in operations.values()
    ]


def test_the_description_documents_every_route_and_problem() -> None:
    description = ask("GET", "/openapi.json").json()
    documented = {re.sub(r"{\w+}", "1", path) for path, _ in _operations(description)}
    others = {"/", "/healthz", "/readyz", "/metrics"}
    assert documented == {*V1_PATHS, SELECT, *OF_NO_RELEASE, *others}
    for path, operation in _operations(description):
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        if not path.startswith("/v1/"):
            continue
        responses = operation["responses"]
        of_a_release = re.sub(r"{\w+}", "1", path) not in OF_NO_RELEASE
        assert {"200", "401", "422", "500"} <= set(responses)
        # Before a request reaches its route, or when it takes too long.
        assert {"400", "408", "421", "429", "431", "503"} <= set(responses)
        assert ("304" in responses) == (of_a_release and path != SELECT)
        assert ("404" in responses) == (of_a_release and ("{" in path or path == SELECT))
        assert not of_a_release or "X-Pollux-Release" in responses["200"]["headers"]
        if path.endswith("/parquet"):
            assert set(responses["200"]["content"]) == {"application/vnd.apache.parquet"}
            continue
        answer = responses["200"]["content"]["application/json"]["schema"]
        for schema in answer.get("oneOf") or answer.get("anyOf") or [answer]:
            name = schema["$ref"].rpartition("/")[2]
            assert description["components"]["schemas"][name]["description"]
        for status, response in responses.items():
            if int(status) >= 400:
                if "$ref" in response:
                    shared = response["$ref"].removeprefix("#/components/responses/")
                    response = description["components"]["responses"][shared]  # noqa: PLW2901
                assert list(response["content"]) == ["application/problem+json"]
                examples = response["content"]["application/problem+json"]["examples"]
                assert all(one["value"]["status"] == int(status) for one in examples.values())
        for parameter in operation.get("parameters", []):
            assert parameter["description"]
    assert "HTTPValidationError" not in description["components"]["schemas"]


def test_every_reference_of_the_description_leads_somewhere() -> None:
    description = ask("GET", "/openapi.json")
    schemas = description.json()["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', description.text))
    assert references <= set(schemas)
    assert {"Problem", "InvalidInput", "HhSummary"} <= references


def test_the_description_says_where_a_key_is_required() -> None:
    description = create_app(OFFLINE).openapi()
    assert "securitySchemes" in description["components"]
    for path, operation in _operations(description):
        assert ("security" in operation) == (path not in {"/", "/healthz", "/readyz"})


def test_services_know_nothing_of_the_pipeline() -> None:
    folder = Path(services.__file__).parent
    for path in folder.rglob("*.py"):
        imported = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        assert not {"orchestration", "dagster", "dbt", "cli"} & set(imported), path


def test_the_app_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLUX_API_KEYS", "nonsense")
    monkeypatch.setenv("POLLUX_API_HOST", "0.0.0.0")
    create_app(OFFLINE)
