"""The page of data quality."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import httpx
import pytest

from services.dashboard import data
from services.dashboard.client import Service
from tests.services.dashboard.support import FakeServices, open_page, problem, row, texts


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """A shop with one release and both reports."""
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
    mart = {"domain": "loyalty", "mart": "members", "description": "One row per\n member."}
    services.serve("/v1/marts", [mart])
    return services


def test_rows_are_counted_by_outcome(shop: FakeServices) -> None:
    page = open_page("quality")
    vouchers, conversions = (str(chart.proto) for chart in page.get("vega_lite_chart"))
    # What is kept comes first.
    assert vouchers.index("Kept") < vouchers.index("Missing date")
    assert "Kept" in conversions
    said = texts(page)
    assert "Nothing was dropped for: no email." in said
    # The lists of members are empty.
    assert "No row came in." in said


def test_releases_have_their_age_and_their_tables(shop: FakeServices) -> None:
    releases, tables, _services = (table.value for table in open_page("quality").dataframe)
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
    assert len(page.get("vega_lite_chart")) == 1


def test_failed_runs_are_listed(shop: FakeServices) -> None:
    assert open_page("quality").success[0].value == "No run of the pipelines has failed."
    alert = {"at": datetime.now(UTC).isoformat(), "text": "load of store failed"}
    shop.serve("/v1/alerts", [alert])
    data._read_fresh.clear()
    page = open_page("quality")
    assert not page.success
    assert "load of store failed" in list(page.dataframe[2].value["text"])


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
    states = open_page("quality").dataframe[2].value
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
