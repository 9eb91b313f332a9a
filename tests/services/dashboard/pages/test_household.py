"""The page of a household."""

import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from services.dashboard import data
from tests.services.dashboard.support import FakeServices, open_page, problem, row, run, texts

PATH = "/v1/households/1"
SEGMENT = {"name": "At risk", "since_day": 652, "since_date": "2006-01-03"}
WHY = "last visit 60 days before the end, sales in the highest fifth"


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """A shop that knows all of household 1."""
    household = row("household", "household_rfm", total_sales=4120.07, baskets=83)
    services.serve(PATH, household | {"segment": SEGMENT | {"why": WHY}})
    summary = row("household", "hh_summary", single_couple_family=2, has_kids=False)
    services.serve(f"{PATH}/summary", summary)
    weeks = [row("household", "household_weekly_sales", week_no=week) for week in (15, 16)]
    services.serve(f"{PATH}/weekly-sales", weeks)
    services.serve(f"{PATH}/campaigns", [row("household", "campaign_response")])
    again = row("household", "product_recommendations", sub_commodity="CONDENSED SOUP")
    services.serve(f"{PATH}/recommendations", [again])
    together = row("household", "commodity_associations", associated_commodity="CRACKERS")
    services.serve("/v1/commodities/SOUP/associations", [together])
    services.serve(f"{PATH}/segments", [row("household", "household_segment_history")])
    services.serve("/v1/households", [row("household", "household_rfm", household_key=12)])
    return services


def test_it_says_who_it_is_and_why_it_is_in_its_segment(shop: FakeServices) -> None:
    page = open_page("household", household=1)
    said = texts(page)
    assert "At risk, since 3 Jan 2006" in said
    assert "Last visit 60 days before the end, sales in the highest fifth." in said
    assert "Sales: $4,120" in said
    assert "Two people · no kids" in said
    products = next(t.value for t in page.dataframe if "product" in t.value)
    assert list(products["product"]) == ["Condensed soup"]
    assert list(products["reason"]) == ["Bought 14 times, usually every 6 days, last 5 days ago."]


def test_weeks_are_dates(shop: FakeServices) -> None:
    page = open_page("household", household=1)
    shown = "".join(str(chart.proto) for chart in page.get("vega_lite_chart"))
    # Week 15 begins on day 97, 96 days after 2004-03-23.
    assert "2004-06-27" in shown
    assert "week_no" not in shown
    # From nothing up, a week wide.
    assert r"\"y2\": {\"datum\": 0}" in shown
    assert "2004-07-04" in shown


def test_a_view_asks_at_most_twenty_times_and_the_next_is_answered_from_memory(
    shop: FakeServices,
) -> None:
    open_page("household", household=1)
    asked = len(shop.asked)
    assert 5 < asked <= 20
    open_page("household", household=1)
    assert set(shop.paths()[asked:]) <= {"/readyz"}


def test_another_release_is_asked_for_anew(shop: FakeServices) -> None:
    open_page("household", household=1)
    shop.serve(PATH, shop.documents[PATH] | {"total_sales": 1.0})
    shop.serve("/readyz", {"status": "ready", "etags": {"household": '"household-8-a"'}})
    data._etags.clear()
    assert "Sales: $1" in texts(open_page("household", household=1))


def test_who_is_erased_is_shown_no_more_a_second_later(shop: FakeServices) -> None:
    assert "At risk" in texts(open_page("household", household=1))
    for path in [path for path in shop.documents if path.startswith(PATH)]:
        del shop.documents[path]
    # The release is the same; without the household, its tag is another.
    shop.serve("/readyz", {"status": "ready", "etags": {"household": '"household-7-b"'}})
    erased_at = opened_at = time.monotonic()
    while "No household 1 is in scope." not in texts(open_page("household", household=1)):
        assert opened_at - erased_at < 1
        opened_at = time.monotonic()


def test_an_api_that_was_told_to_end_is_asked_as_long_as_it_answers(shop: FakeServices) -> None:
    shop.serve("/readyz", problem(HTTPStatus.SERVICE_UNAVAILABLE, "ending", "It ends."))
    for sales in (1.0, 2.0):
        shop.serve(PATH, shop.documents[PATH] | {"total_sales": sales})
        data._etags.clear()
        assert f"Sales: ${sales:.0f}" in texts(open_page("household", household=1))


def test_without_demographics_it_says_so(shop: FakeServices) -> None:
    del shop.documents[f"{PATH}/summary"]
    said = texts(open_page("household", household=1))
    assert "Who lives here is not known" in said
    assert "At risk" in said


def test_without_recommendations_and_campaigns_it_says_so(shop: FakeServices) -> None:
    del shop.documents[f"{PATH}/recommendations"]
    shop.serve(f"{PATH}/campaigns", [])
    said = texts(open_page("household", household=1))
    assert "Nothing is recommended to this household yet." in said
    assert "Shaded" not in said


def test_an_unknown_household_leads_to_others(shop: FakeServices) -> None:
    page = open_page("household", household=999)
    assert "No household 999 is in scope." in texts(page)
    assert list(page.dataframe[0].value["household_key"]) == [12]


def test_without_a_number_the_largest_are_shown(shop: FakeServices) -> None:
    page = open_page("household")
    assert shop.queries("/v1/households") == [{"sort": "-total_sales", "limit": "10"}]
    assert list(page.dataframe[0].value["household_key"]) == [12]
    page.number_input[0].set_value(1).run()
    assert "At risk" in texts(page)


def bought(shop: FakeServices, event: int, **values: Any) -> None:
    """Has the household's document computed anew three minutes ago."""
    known = shop.documents[PATH]
    document = (known.json() if isinstance(known, httpx.Response) else known) | values
    computed = (datetime.now(UTC) - timedelta(minutes=3, seconds=5)).isoformat()
    freshness = f"live; event={event}; computed={computed}"
    headers = {"X-Pollux-Freshness": freshness, "ETag": f'"household-7-a-live-{event}"'}
    shop.documents[PATH] = httpx.Response(200, json=document, headers=headers)
    data._read_live.clear()


def test_it_says_when_it_is_newer_than_the_release(shop: FakeServices) -> None:
    assert "Newer than the release" not in texts(open_page("household", household=1))
    bought(shop, 1204)
    said = texts(open_page("household", household=1))
    assert "Newer than the release, computed 3 minutes ago." in said


def test_a_purchase_reaches_the_lists_of_the_household(shop: FakeServices) -> None:
    page = open_page("household", household=1)
    bought(shop, 1204, total_sales=4500)
    weeks = [row("household", "household_weekly_sales", week_no=17)]
    shop.serve(f"{PATH}/weekly-sales", weeks)
    again = row("household", "product_recommendations", sub_commodity="FLUID MILK")
    shop.serve(f"{PATH}/recommendations", [again])
    history = [row("household", "household_segment_history", segment="Loyal")]
    shop.serve(f"{PATH}/segments", history)
    run(page)
    assert "Sales: $4,500" in texts(page)
    assert "2004-07-11" in "".join(str(c.proto) for c in page.get("vega_lite_chart"))
    products = next(t.value for t in page.dataframe if "product" in t.value)
    assert list(products["product"]) == ["Fluid milk"]
    assert list(page.dataframe[-1].value["segment"]) == ["Loyal"]
    # The same event is answered from memory.
    asked = len(shop.asked)
    data._etags.clear()
    run(page)
    assert set(shop.paths()[asked:]) <= {"/readyz"}


def test_of_one_that_the_release_does_not_have_what_is_known_is_shown(shop: FakeServices) -> None:
    unknown = problem(HTTPStatus.NOT_FOUND, "unknown-household", "No household 1.")
    shop.documents[f"{PATH}/campaigns"] = shop.documents[f"{PATH}/summary"] = unknown
    page = open_page("household", household=1)
    said = texts(page)
    assert "At risk, since 3 Jan 2006" in said
    assert "Week by week" in said
    assert "How its segment changed" in said
    assert "No household 1." not in said
