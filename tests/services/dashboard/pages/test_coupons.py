"""The page of coupons."""

import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from pollux.runtime.settings import Settings
from services.dashboard import data, live_offers
from services.dashboard.client import Client
from tests.services.dashboard.support import FakeServices, open_page, problem, row, run, texts

OFFERS = "/v1/offers"
CUSTOMER = "/v1/store-customers/2"
DECIDED = {
    "event_key": "a", "outcome": "offer", "reason": None, "customer_id": 127, "department": "Boys",
    "at": "2026-11-26T10:00:00Z", "coupon_id": 22, "likelihood": 0.31, "threshold": 0.2,
    "release": 1, "model": "m1",
}  # fmt: skip
DECLINED = DECIDED | {
    "event_key": "b", "outcome": "no offer", "reason": "no coupon above 0.2", "coupon_id": None,
    "likelihood": 0.1,
}  # fmt: skip
TRIED = {
    "outcome": "offer", "reason": None, "likelihood": 0.41, "threshold": 0.2,
    "coupon": {"id": "22", "type": "department", "department": "Boys", "discount": 34.0,
               "how_many": -1},
}  # fmt: skip
WORDS = ("the coupon's type is buy_all, which makes use more likely", "the customer's age is 46")


class Shop(FakeServices):
    """Services that tell GET from POST on the event service's one path, as they are."""

    tried: Any = TRIED

    def answer(self, request: httpx.Request) -> httpx.Response:
        if (request.method, request.url.path) == ("POST", OFFERS):
            self.asked.append(request)
            if isinstance(self.tried, httpx.Response):
                return self.tried
            return httpx.Response(200, json=self.tried)
        if request.url.path == "/score":
            asked = json.loads(request.content)
            likelihoods = {22: 0.41, 23: 0.17}
            self.documents["/score"] = [
                {"coupon_id": one["coupon_id"], "prediction": likelihoods[one["coupon_id"]]}
                | {"explanation": {"contributions": CONTRIBUTIONS}}
                for one in asked["coupons"]
            ]
        return super().answer(request)


CONTRIBUTIONS = [
    {"feature": name, "value": 1, "added": added, "words": said}
    for name, added, said in zip(("coupon_type", "age"), (0.4, -0.2), WORDS, strict=True)
]


@pytest.fixture
def shop(services: FakeServices, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop with two coupons and a customer, whose services run."""
    shop = Shop()
    client = Client(Settings(), httpx.MockTransport(shop.answer))
    monkeypatch.setattr(data, "client", lambda: client)
    shop.serve("/v1/coupon-offers", [row("store", "coupon_offers", event_date="2026-11-20")])
    minutes_ago = (datetime.now(UTC) - timedelta(minutes=3, seconds=5)).isoformat()
    shop.serve(OFFERS, [one | {"decided_at": minutes_ago} for one in (DECLINED, DECIDED)])
    shop.serve(
        "/v1/coupons",
        [
            row("store", "coupon_info", coupon_id=number, coupon_type=kind)
            for number, kind in ((22, "buy_all"), (23, "just_discount"))
        ],
    )
    shop.serve(CUSTOMER, row("store", "customer_info", customer_id=2))
    shop.serve("/v1/store-customers", [row("store", "customer_info", customer_id=9)])
    return shop


def test_live_offers_are_said_in_words(shop: Shop) -> None:
    live = open_page("coupons").dataframe[0].value
    assert list(live["when"]) == ["3 minutes ago"] * 2
    assert list(live["offer"]) == ["nothing", "34 % off 4 products together"]
    assert list(live["reason"]) == ["No coupon above 0.2.", ""]
    assert shop.queries("/v1/coupons")[0] == {"limit": "1000", "ids": "22"}


def test_live_offers_are_refreshed_until_nothing_new_came_for_long(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("coupons")
    assert page.session_state[live_offers.IS_LIVE] is True
    run(page)
    assert page.session_state[live_offers.IS_LIVE] is True
    monkeypatch.setattr(live_offers, "QUIET_SECONDS", -1)
    # Something new keeps it going.
    decided = shop.documents[OFFERS]["data"][1]
    shop.serve(OFFERS, [decided | {"event_key": "c"}, decided])
    run(page)
    assert page.session_state[live_offers.IS_LIVE] is True
    run(page)
    assert page.session_state[live_offers.IS_LIVE] is False
    assert [button.label for button in page.button] == ["Look for new ones"]
    monkeypatch.setattr(live_offers, "QUIET_SECONDS", 600)
    page.button[0].click()
    run(page)
    assert page.session_state[live_offers.IS_LIVE] is True


def test_without_the_event_service_it_says_what_to_do_and_asks_no_more(shop: Shop) -> None:
    shop.documents[OFFERS] = problem(
        HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable", "It cannot be reached."
    )
    page = open_page("coupons", customer=2)
    assert "The event service is not ready" in texts(page)
    assert page.session_state[live_offers.IS_LIVE] is False
    # What needs the other services is shown.
    assert "Offered on that day" not in texts(page)
    assert "The coupon's type is buy all" in texts(page)
    shop.serve(OFFERS, [])
    page.button[0].click()
    run(page)
    assert page.session_state[live_offers.IS_LIVE] is True
    assert "`pollux demo-store`" in texts(page)


def test_a_customer_is_offered_a_coupon_for_reasons(shop: Shop) -> None:
    page = open_page("coupons", customer=2)
    said = texts(page)
    assert "Woman · 49 years · 286 items bought · 81 of them with coupons" in said
    assert "34 % off everything in Boys (Boys, coupon 22), likely to be used at 41.0%." in said
    assert "- The coupon's type is buy all, which makes use more likely." in said
    asked = [json.loads(one.content) for one in shop.asked if one.url.path == "/score"]
    assert asked[0]["customer"]["customer_id"] == 2
    assert [one["coupon_id"] for one in asked[0]["coupons"]] == [22, 23]
    assert "start_date" not in asked[0]["coupons"][0]
    # Only the coupon that is asked about is explained: that takes long.
    assert [one["coupon_id"] for one in asked[1]["coupons"]] == [22]
    assert shop.queries("/score") == [{}, {"explain": "true"}]
    # Nothing is recorded.
    (tried,) = [one for one in shop.asked if one.method == "POST" and one.url.path == OFFERS]
    assert dict(tried.url.params) == {"dry_run": "true"}


def test_another_coupon_can_be_explained(shop: Shop) -> None:
    page = open_page("coupons", customer=2)
    page.selectbox[0].select_index(1)
    run(page)
    asked = [json.loads(one.content) for one in shop.asked if one.url.path == "/score"]
    assert [one["coupon_id"] for one in asked[-1]["coupons"]] == [23]


def test_no_offer_has_a_reason(shop: Shop) -> None:
    shop.tried = TRIED | {"coupon": None, "reason": "no coupon above 0.2"}
    assert "**No offer on that day**: no coupon above 0.2." in texts(
        open_page("coupons", customer=2)
    )


def test_without_a_model_it_says_so(shop: Shop) -> None:
    shop.tried = problem(HTTPStatus.SERVICE_UNAVAILABLE, "no-model", "There is no model yet.")
    said = texts(open_page("coupons", customer=2))
    assert "There is no model yet." in said
    assert "What came of offers" in said


def test_a_day_without_coupons_says_so(shop: Shop) -> None:
    shop.serve("/v1/coupons", [])
    page = open_page("coupons", customer=2)
    assert "No coupon is valid on" in texts(page)
    assert "/score" not in shop.paths()


def test_an_unknown_customer_leads_to_others(shop: Shop) -> None:
    page = open_page("coupons", customer=999)
    assert "The shop has no customer 999." in texts(page)
    assert list(page.dataframe[1].value["customer_id"]) == [9]


def test_without_days_it_says_what_to_do(shop: Shop) -> None:
    shop.serve("/v1/coupon-offers", [])
    assert "the next `pollux build` counts them" in texts(open_page("coupons"))


def test_each_service_asks_for_its_key(shop: Shop) -> None:
    refused = problem(HTTPStatus.UNAUTHORIZED, "key-required", "Send a key.")
    shop.documents[OFFERS] = refused
    page = open_page("coupons")
    assert "The event service wants a key." in texts(page)
    assert "What came of offers" in texts(page)


def test_a_view_asks_at_most_twenty_times(shop: Shop) -> None:
    open_page("coupons", customer=2)
    assert 5 < len(shop.asked) <= 20
