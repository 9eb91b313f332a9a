"""The first page."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
import streamlit as st

from services.api.operation import LiveDomains
from services.dashboard import links, live_purchases
from services.events.purchases.schemas import LatestPurchases
from services.events.segment_routes import SegmentChange
from tests.services.dashboard.support import FakeServices, open_page, problem, row, run, texts

MOVES = [("Loyal", "Loyal", 90), ("none", "New", 8), ("Loyal", "At risk", 5), ("New", "Lost", 2)]
AT = datetime.now(UTC)
KEY = "5ad0ee2e-5f3c-5d0a-9a27-0a7d4e0c9f4b"


def lately(*domains: dict[str, Any], is_computed: bool = True) -> dict[str, Any]:
    """What the event service says of the last hour, a minute of each domain but for these."""
    data = [
        {"domain": "household", "since": AT - timedelta(hours=1), "minutes": [],
         "waiting": 0, "waiting_seconds": 0} | of
        for of in domains
    ]  # fmt: skip
    document = {"at": AT, "is_computed": is_computed, "data": data}
    found: dict[str, Any] = LatestPurchases.model_validate(document).model_dump(mode="json")
    return found


def bought(purchases: int, value: float, *, minutes_ago: int = 5) -> dict[str, Any]:
    at = AT.replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    return {"minute": at, "purchases": purchases, "value": value}


def change(household: int, from_: str | None, to: str | None, **more: Any) -> dict[str, Any]:
    document = {"household_key": household, "from_segment": from_, "to_segment": to, "number": 1,
                "cause": "purchase", "why": "last visit today", "event_key": KEY, "release": 7,
                "at": datetime.now(UTC)}  # fmt: skip
    found: dict[str, Any] = SegmentChange.model_validate(document | more).model_dump(mode="json")
    return found


def ahead(households: int, customers: int) -> list[dict[str, Any]]:
    found = LiveDomains.model_validate(
        {"data": [{"domain": "household", "customers": households},
                  {"domain": "store", "customers": customers}]}
    ).model_dump()  # fmt: skip
    data: list[dict[str, Any]] = found["data"]
    return data


QUIET = lately({}, {"domain": "store"})


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
    services.serve("/v1/purchases", QUIET)
    services.serve("/v1/live", ahead(0, 0))
    services.serve("/v1/segment-changes", [])
    return services


def metrics(page: Any) -> dict[str, tuple[str, str | None]]:
    return {metric.label: (metric.value, metric.delta) for metric in page.metric}


def test_it_says_what_is_served_and_how_old_it_is(shop: FakeServices) -> None:
    page = open_page("today")
    assert metrics(page)["Households"] == ("Release 7", "3 hours ago")
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


def test_what_is_bought_right_now(shop: FakeServices) -> None:
    minutes = [bought(2, 40.5), bought(1, 9.5, minutes_ago=1)]
    orders = {"domain": "store", "minutes": [bought(3, 7)]}
    shop.serve("/v1/purchases", lately({"minutes": minutes}, orders))
    shop.serve("/v1/live", ahead(1204, 1))
    page = open_page("today")
    found = metrics(page)
    assert found["Baskets, last hour"] == ("3", "$50")
    assert found["Shop orders, last hour"] == ("3", "$7")
    assert found["Households ahead"] == ("1,204", "and 1 shop customer")
    assert found["Live answers"] == ("Up to date", "Nothing waits")
    assert "Nothing was bought" not in texts(page)
    (chart,) = (c for c in page.get("vega_lite_chart") if "yearmonthdate" in c.proto.spec)
    assert "Shop orders" in chart.proto.spec
    assert not page.error


def test_of_many_purchases_it_says_for_how_long_they_are_counted(shop: FakeServices) -> None:
    since = AT - timedelta(minutes=7)
    shop.serve("/v1/purchases", lately({"since": since, "minutes": [bought(9, 1)]}))
    assert metrics(open_page("today"))["Baskets, last 7 minutes"] == ("9", "$1")


def test_when_nothing_is_bought_it_says_how_purchases_come(shop: FakeServices) -> None:
    page = open_page("today")
    assert metrics(page)["Baskets, last hour"] == ("0", "$0")
    assert metrics(page)["Households ahead"] == ("0", "and 0 shop customers")
    said = texts(page)
    assert "Nothing was bought during the last hour." in said
    assert "`POST /v1/purchases`" in said
    assert "No purchase has moved a household to another segment yet." in said


def test_late_answers_are_told_by_the_first_purchase_that_waits(shop: FakeServices) -> None:
    waiting = {"waiting": 12, "waiting_seconds": 185.2}
    shop.serve("/v1/purchases", lately(waiting, {"domain": "store"}))
    page = open_page("today")
    assert metrics(page)["Live answers"] == ("Late", "3 minutes behind")
    (error,) = page.error
    assert "12 purchases wait, the first for 3 minutes." in error.value
    # A moment is what computing takes.
    st.cache_data.clear()
    shop.serve("/v1/purchases", lately({"waiting": 1, "waiting_seconds": 1.5}))
    page = open_page("today")
    assert metrics(page)["Live answers"] == ("Up to date", "1 s behind")
    assert not page.error


def test_when_nothing_computes_it_says_how_to_start_it(shop: FakeServices) -> None:
    waiting = {"waiting": 1, "waiting_seconds": 0.2}
    shop.serve("/v1/purchases", lately(waiting, is_computed=False))
    page = open_page("today")
    assert metrics(page)["Live answers"][0] == "Stopped"
    (error,) = page.error
    assert "1 purchase waits" in error.value
    assert "`pollux serve live`" in error.value
    # Where nobody waits, nothing is wrong.
    st.cache_data.clear()
    shop.serve("/v1/purchases", lately({}, is_computed=False))
    page = open_page("today")
    assert metrics(page)["Live answers"] == ("Stopped", "Nothing waits")
    assert not page.error


def test_what_no_release_answers_live_counts_with_the_next_build(shop: FakeServices) -> None:
    silent = {"waiting": None, "waiting_seconds": None}
    orders = silent | {"domain": "store", "minutes": [bought(1, 2)]}
    shop.serve("/v1/purchases", lately(silent, orders))
    page = open_page("today")
    # Of baskets there are none.
    assert "Shop orders count with the next build" in texts(page)
    assert not page.error


def test_changes_of_segments(shop: FakeServices) -> None:
    earlier = datetime.now(UTC) - timedelta(minutes=3, seconds=5)
    found = [
        change(17, None, "New"),
        change(4, "Loyal", None, why=None, cause="release", event_key=None, at=earlier),
    ]
    shop.serve("/v1/segment-changes", found)
    changes = open_page("today").dataframe[0].value
    assert changes.to_dict("records") == [
        {"when": "just now", "household_key": 17, "from_segment": "In no segment yet",
         "to_segment": "New", "cause": "its purchase", "event_key": KEY},
        {"when": "3 minutes ago", "household_key": 4, "from_segment": "Loyal",
         "to_segment": "In no segment yet", "cause": "a release", "event_key": ""},
    ]  # fmt: skip


def test_a_row_that_was_chosen_is_the_one_that_was_shown(
    shop: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone_to: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(links, "go_to", lambda path, **query: gone_to.append((path, query)))
    shop.serve("/v1/segment-changes", [change(17, "Loyal", "New")])
    page = open_page("today")
    assert gone_to == []
    page.session_state[live_purchases.CHOSEN] = 17
    shop.serve("/v1/segment-changes", [change(18, "Loyal", "New"), change(17, "Loyal", "New")])
    run(page)
    assert gone_to == [("household", {"household": 17})]
    run(page)
    assert len(gone_to) == 1


def test_without_the_event_service_the_rest_is_shown(shop: FakeServices) -> None:
    for path in ("/v1/purchases", "/v1/segment-changes"):
        shop.documents[path] = problem(
            HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable", "It cannot be reached."
        )
    said = texts(open_page("today"))
    assert said.count("The event service is not ready") == 1
    assert "Release 7" in said


def test_a_key_without_households_is_told_so_once(shop: FakeServices) -> None:
    shop.scopes = {"metrics", "admin", "store:read"}
    said = texts(open_page("today"))
    # Of what is right now, and of segments.
    assert said.count("needs the scope households:read") == 2


def test_without_the_scope_of_metrics_the_number_of_customers_is_left_out(
    shop: FakeServices,
) -> None:
    shop.scopes = {"households:read", "admin", "store:read"}
    found = metrics(open_page("today"))["Households ahead"]
    assert found == ("?", "Needs the scope metrics")
