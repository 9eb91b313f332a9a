"""The page of data quality."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from services.dashboard import data
from services.dashboard.client import Service
from tests.services.dashboard.support import FakeServices, open_page, problem, row, texts

HOUSEHOLDS = "/v1/marts/household/household_cleaning_report"
SHOP = "/v1/marts/store/store_cleaning_report"


def quality(**values: Any) -> dict[str, Any]:
    """The record of a release whose load rejected rows and whose build has a warning."""
    rejects = [{"column": "ordered_at", "reason": "no such day", "rows": 2}]
    rejects += [{"column": "", "reason": "2 fields instead of 3", "rows": 1}]
    load = {"dataset": "coupon_redempt", "is_sample": False, "files": 2, "rows_read": 103}
    load |= {"rows_landed": 100, "rows_rejected": 3, "loaded_at": "2026-11-26T04:10:41Z"}
    test = {"name": "not_null_x_y", "description": "", "kind": "not_null", "model": "members"}
    test |= {"column": "household_key", "status": "passed", "rows": 0}
    warning = {"name": "assert_z", "description": "Lines without an order are left out."}
    warning |= {"kind": None, "model": None, "column": None, "status": "warned", "rows": 4}
    record = {"domain": "loyalty", "release": "loyalty-7", "built_at": "2026-11-26T04:11:02Z"}
    return record | {
        "datasets": [load | {"rejects": rejects}],
        "tests": [test, test | {"kind": None, "name": "assert_a_b"}, warning],
        **values,
    }


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """A shop with one release and all reports."""
    hours_ago = (datetime.now(UTC) - timedelta(hours=3, minutes=1)).isoformat()
    release = {"domain": "loyalty", "number": 7, "name": "loyalty-7", "released_at": hours_ago}
    services.serve("/v1/releases", [release])
    services.serve("/v1/alerts", [])
    vouchers = [
        row("customer", "voucher_cleaning_report", outcome=outcome, rows=rows)
        for outcome, rows in (("missing date", 8), ("kept", 1234))
    ]
    services.serve("/v1/vouchers/cleaning-report", vouchers)
    lines = [
        row("loyalty", "loyalty_cleaning_report", dataset=dataset, outcome=outcome, lines=lines)
        for dataset, outcome, lines in (
            ("conversions", "kept", 55),
            ("conversions", "no email", 0),
            ("loyalty_list", "kept", 0),
        )
    ]
    services.serve("/v1/promotions/cleaning-report", lines)
    households = [
        row("household", "household_cleaning_report", outcome=outcome, lines=lines)
        for outcome, lines in (("kept", 90), ("fuel", 7), ("unknown product", 0))
    ]
    services.serve(HOUSEHOLDS, households)
    shop = [
        row("store", "store_cleaning_report", outcome=outcome, lines=lines)
        for outcome, lines in (("kept", 60), ("unknown order", 5))
    ]
    services.serve(SHOP, shop)
    services.documents["/v1/quality"] = {"data": [quality()]}
    mart = {"domain": "loyalty", "mart": "members", "description": "One row per\n member."}
    services.serve("/v1/marts", [mart])
    return services


def test_rows_are_counted_by_outcome(shop: FakeServices) -> None:
    page = open_page("quality")
    charts = [str(chart.proto) for chart in page.get("vega_lite_chart")]
    households, shop_, vouchers, conversions = charts
    assert "Fuel" in households
    assert "Unknown order" in shop_
    # What is kept comes first.
    assert vouchers.index("Kept") < vouchers.index("Missing date")
    assert "Kept" in conversions
    said = texts(page)
    assert "Nothing was dropped for: no email." in said
    assert "Nothing was dropped for: unknown product." in said
    # The lists of members are empty.
    assert "No row came in." in said


def test_loads_say_what_came_in_and_what_was_rejected_why(shop: FakeServices) -> None:
    page = open_page("quality")
    loads, rejects = (table.value for table in page.dataframe[:2])
    assert list(loads["dataset"]) == ["Coupons redeemed"]
    counts = loads.loc[0, ["rows_read", "rows_landed", "rows_rejected"]]
    assert list(counts) == [103, 100, 3]
    assert list(rejects["column"]) == ["Ordered at", "The whole row"]
    assert list(rejects["reason"]) == ["No such day.", "2 fields instead of 3."]
    assert list(rejects["rows"]) == [2, 1]


def test_tests_are_counted_and_those_that_warned_are_named(shop: FakeServices) -> None:
    page = open_page("quality")
    counted, warned, every = (table.value for table in page.dataframe[2:5])
    assert list(counted.loc[0, ["passed", "warned", "failed"]]) == [2, 1, 0]
    assert list(warned["rule"]) == ["Lines without an order are left out."]
    assert list(warned["rows"]) == [4]
    assert list(every["rule"]) == ["Never blank", "Assert a b.", warned["rule"][0]]
    assert list(every["column"]) == ["Household", "Household", ""]
    assert "not released" in texts(page)


def test_where_nothing_was_rejected_and_every_test_passed_it_says_so(shop: FakeServices) -> None:
    record = quality()
    record["datasets"][0]["rejects"] = []
    record["tests"] = record["tests"][:1]
    shop.documents["/v1/quality"] = {"data": [record]}
    said = [one.value for one in open_page("quality").success]
    assert said[:2] == ["No row of these files was rejected.", "Every test passed."]


def test_a_release_without_a_record_is_named(shop: FakeServices) -> None:
    shop.documents["/v1/quality"] = {"data": []}
    page = open_page("quality")
    assert "record of loads and tests: Fan club." in texts(page)
    assert "What came in" not in texts(page)


def test_releases_have_their_age_and_their_tables(shop: FakeServices) -> None:
    *_, releases, tables, _services = (table.value for table in open_page("quality").dataframe)
    assert list(releases["domain"]) == ["Fan club"]
    assert list(releases["number"]) == [7]
    assert list(releases["released_ago"]) == ["3 hours ago"]
    assert list(tables["description"]) == ["One row per member."]


def test_a_domain_without_a_release_leaves_the_rest_shown(shop: FakeServices) -> None:
    shop.documents["/v1/vouchers/cleaning-report"] = problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "nothing-released", "No release of domain customer."
    )
    page = open_page("quality")
    assert "No release of domain customer." in texts(page)
    assert len(page.get("vega_lite_chart")) == 3


def test_failed_runs_are_listed(shop: FakeServices) -> None:
    (ran,) = open_page("quality").success
    assert ran.value == "No run of the pipelines has failed."
    alert = {"at": datetime.now(UTC).isoformat(), "text": "load of store failed"}
    shop.serve("/v1/alerts", [alert])
    data._read_fresh.clear()
    page = open_page("quality")
    assert not page.success
    assert "load of store failed" in list(page.dataframe[-2].value["text"])


def test_services_that_cannot_answer_say_why(
    shop: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = str(data.client().urls[Service.EVENTS])
    waiting = str(data.client().urls[Service.SCORER])

    def answer(request: httpx.Request) -> httpx.Response:
        if str(request.url).startswith(away):
            raise httpx.ConnectError("Connection refused")
        if str(request.url).startswith(waiting):
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "no-model", "There is no model.")
        return shop.answer(request)

    monkeypatch.setattr(data.client(), "_http", httpx.Client(transport=httpx.MockTransport(answer)))
    states = open_page("quality").dataframe[-1].value
    assert list(states["service"]) == ["API", "Event service", "Scorer"]
    assert list(states["state"]) == [
        "Ready",
        f"Nothing answers on {away}",
        "The service answers, and cannot do more yet: There is no model.",
    ]


def test_an_empty_installation_says_what_to_do(shop: FakeServices) -> None:
    shop.serve("/v1/releases", [])
    said = texts(open_page("quality"))
    assert "`pollux up`" in said
    assert "Which rows count" not in said


def test_a_view_asks_at_most_twenty_times(shop: FakeServices) -> None:
    open_page("quality")
    assert 5 < len(shop.asked) <= 20
