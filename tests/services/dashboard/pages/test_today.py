"""The first page."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest

from tests.services.dashboard.support import FakeServices, open_page, problem, row, texts

MOVES = [("Loyal", "Loyal", 90), ("none", "New", 8), ("Loyal", "At risk", 5), ("New", "Lost", 2)]


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """A shop with one release, moves, and offers on two days."""
    hours_ago = (datetime.now(UTC) - timedelta(hours=3, minutes=1)).isoformat()
    release = {"domain": "household", "number": 7, "name": "household-7", "released_at": hours_ago}
    services.serve("/v1/releases", [release])
    services.serve("/v1/alerts", [])
    services.serve("/v1/segments", [row("household", "segment_sizes")])
    moves = [
        row("household", "segment_moves", from_segment=from_, to_segment=to, households=households)
        for from_, to, households in MOVES
    ]
    services.serve("/v1/segments/moves", moves)
    offers = [
        row("store", "coupon_offers", event_date=day, department=department)
        for day, department in (
            ("2026-11-20", "Men"),
            ("2026-11-20", "Boys"),
            ("2026-11-19", "Men"),
        )
    ]
    services.serve("/v1/coupon-offers", offers)
    return services


def test_it_says_what_is_served_and_how_old_it_is(shop: FakeServices) -> None:
    page = open_page("today")
    (metric,) = page.metric
    assert (metric.label, metric.value, metric.delta) == ("Households", "Release 7", "3 hours ago")
    assert not page.error


def test_moves_are_those_between_two_segments(shop: FakeServices) -> None:
    moves = open_page("today").dataframe[0].value
    assert list(
        zip(moves["from_segment"], moves["to_segment"], moves["households"], strict=True)
    ) == [
        ("Loyal", "At risk", 5),
        ("New", "Lost", 2),
    ]


def test_offers_are_those_of_the_last_day(shop: FakeServices) -> None:
    page = open_page("today")
    assert list(page.dataframe[1].value["department"]) == ["Men", "Boys"]
    assert "On 20 Nov 2026" in texts(page)


def test_alerts_come_first(shop: FakeServices) -> None:
    at = datetime.now(UTC).isoformat()
    alerts = [{"at": at, "text": f"{name} failed"} for name in ("second", "first")]
    shop.serve("/v1/alerts", alerts)
    page = open_page("today")
    assert page.error[0].value == "**Just now:** second failed"
    assert list(page.dataframe[0].value["text"]) == ["first failed"]


def test_a_domain_without_a_release_leaves_the_others_shown(shop: FakeServices) -> None:
    shop.documents["/v1/segments"] = problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "nothing-released", "No release of domain household."
    )
    said = texts(open_page("today"))
    assert "No release of domain household." in said
    assert "On 20 Nov 2026" in said


def test_an_empty_shop_says_what_to_do(shop: FakeServices) -> None:
    for path in ("/v1/releases", "/v1/segments", "/v1/coupon-offers"):
        shop.serve(path, [])
    said = texts(open_page("today"))
    assert "`pollux up`" in said
    assert "No household is in scope yet." in said
    assert "`pollux demo-store`" in said


def test_a_view_asks_at_most_twenty_times(shop: FakeServices) -> None:
    open_page("today")
    assert 4 < len(shop.asked) <= 20
