"""The page of vouchers."""

import json
from http import HTTPStatus
from typing import Any

import pytest

from tests.services.dashboard.support import FakeServices, open_page, problem, row, run, texts

SELECT = "/v1/vouchers/select"
CHOSEN = {
    "voucher_amount": 2640, "country_code": "Peru", "segment_name": "recency_segment",
    "segment": "180+", "basis": "segment", "recency_days": 200, "as_of": "2026-11-26T10:00:00Z",
    "times_used": 1199, "share": 0.515,
    "runners_up": [{"voucher_amount": 4400.5, "times_used": 597, "share": 0.25, "rank": 2}],
}  # fmt: skip


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """A shop in two countries, with two segments."""
    countries = [
        row("customer", "country_voucher_details_view", country_code=country)
        for country in ("Chile", "Peru")
    ]
    services.serve("/v1/marts/customer/country_voucher_details_view", countries)
    segments = [
        segment("frequency_segment", "5-13", 5, 13),
        segment("recency_segment", "180+", 181, None),
    ]
    services.serve("/v1/vouchers/segments", segments)
    services.serve(SELECT, CHOSEN)
    ranking = [
        row("customer", "voucher_ranking", segment_name=kind, segment=name)
        for kind, name in (("recency_segment", "180+"), ("country", "all"))
    ]
    services.serve("/v1/vouchers", ranking)
    shares = [
        row("customer", "voucher_segment_shares", segment_name="frequency_segment", segment=name)
        for name in ("5-13", "none")
    ]
    services.serve("/v1/marts/customer/voucher_segment_shares", shares)
    report = [
        row("customer", "voucher_cleaning_report", outcome=outcome, rows=rows)
        for outcome, rows in (("missing date", 8), ("exact duplicate", 0), ("kept", 36651))
    ]
    services.serve("/v1/vouchers/cleaning-report", report)
    return services


def segment(kind: str, name: str, first: int, last: int | None) -> dict[str, Any]:
    values = {"segment_name": kind, "segment": name, "first_number": first, "last_number": last}
    return row("customer", "voucher_segments", **values)


def test_the_choice_is_explained(shop: FakeServices) -> None:
    said = texts(open_page("vouchers", country="Peru"))
    assert "Voucher: 2,640" in said
    assert (
        "The voucher used most in Peru in the segment of 181 or more days away: 1,199 times, "
        "51.5% of the vouchers there."
    ) in said


def test_the_form_is_what_is_asked(shop: FakeServices) -> None:
    page = open_page("vouchers", country="Peru")
    page.number_input[0].set_value(15)
    page.selectbox[1].set_value("recency_segment")
    page.button[0].click()
    run(page)
    asked = json.loads([one for one in shop.asked if one.url.path == SELECT][-1].content)
    assert (asked["country_code"], asked["total_orders"]) == ("Peru", 15)
    assert asked["segment_name"] == "recency_segment"
    assert asked["first_order_ts"] < asked["last_order_ts"]


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        (None, "The customer is in no segment, so it is the one used most in all of Peru"),
        ("180+", "No voucher was used in Peru in the segment of 181 or more days away, so it is"),
    ],
)
def test_a_choice_by_country_says_why(shop: FakeServices, segment: str | None, said: str) -> None:
    shop.serve(SELECT, CHOSEN | {"segment": segment, "basis": "country", "runners_up": []})
    shown = texts(open_page("vouchers", country="Peru"))
    assert said in shown
    assert "No other voucher is used there." in shown


def test_what_the_api_refuses_is_said_and_the_rest_is_shown(shop: FakeServices) -> None:
    shop.documents[SELECT] = problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", "The first order is after the last."
    )
    said = texts(open_page("vouchers"))
    assert "The first order is after the last." in said
    assert "What is used in Chile" in said


def test_segments_are_said_by_their_bounds(shop: FakeServices) -> None:
    rows = open_page("vouchers").dataframe[0].value
    assert list(rows["segment"]) == ["5 to 13 orders", "other orders", "181 or more days away"]
    # As percentages; a segment that nobody is in has none.
    assert list(rows["share_of_assignments"]) == [62, 62, 0]


def test_rows_are_counted_by_outcome(shop: FakeServices) -> None:
    page = open_page("vouchers")
    shown = str(page.get("vega_lite_chart")[-1].proto)
    assert "Missing date" in shown
    assert "Nothing was dropped for: exact duplicate." in texts(page)


def test_without_vouchers_it_says_so(shop: FakeServices) -> None:
    shop.serve("/v1/marts/customer/country_voucher_details_view", [])
    assert "No voucher was assigned in the data." in texts(open_page("vouchers"))


def test_a_view_asks_at_most_twenty_times(shop: FakeServices) -> None:
    open_page("vouchers")
    assert 4 < len(shop.asked) <= 20
