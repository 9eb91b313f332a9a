"""The page of the fan club."""

from http import HTTPStatus
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.services.dashboard.support import FakeServices, open_page, problem, row, run, texts

EMAIL = "fan+1@example.net"
CONVERSIONS = "/v1/marts/loyalty/conversions"


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """Two promotions, one with two channels, and a member."""
    channels = [
        row("loyalty", "promotion_funnel", promotion="BilbyMug", channel="Instagram", clicks=88),
        row("loyalty", "promotion_funnel", promotion="BilbyMug", channel="no click", clicks=0,
            basket_rate=None, purchase_rate=None),
        row("loyalty", "promotion_funnel", promotion="NumbatSocks", channel="Facebook"),
    ]  # fmt: skip
    services.serve("/v1/promotions", channels)
    services.documents["/v1/members"] = {"data": [], "next": None, "count": 1234}
    member = row("loyalty", "members", email=EMAIL, gender="F", insta_user="fan_1")
    services.serve(f"/v1/members/{EMAIL}", member)
    did = [row("loyalty", "conversions", conversion_type="purchase", total=12.5)]
    services.serve(CONVERSIONS, did)
    return services


def find(email: str, **query: Any) -> AppTest:
    page = open_page("loyalty", **query)
    page.text_input[0].set_value(email)
    return run(page)


def test_the_funnel_is_that_of_the_promotion(shop: FakeServices) -> None:
    page = open_page("loyalty")
    shown = page.dataframe[0].value
    assert list(shown["channel"]) == ["Instagram", "No click"]
    assert list(shown["clicks"]) == [88, 0]
    # Of no clicks there is no share.
    assert list(shown["basket_rate"].isna()) == [False, True]
    chart = str(page.get("vega_lite_chart")[0].proto)
    for stage in ("Clicks", "Baskets", "Purchases"):
        assert stage in chart


def test_the_address_names_a_promotion(shop: FakeServices) -> None:
    page = open_page("loyalty", promotion="NumbatSocks")
    assert list(page.dataframe[0].value["channel"]) == ["Facebook"]


def test_members_are_counted_by_how_they_joined(shop: FakeServices) -> None:
    said = texts(open_page("loyalty"))
    assert "Members by the list: 1,234" in said
    assert "Members by a purchase: 1,234" in said
    joined = [query["joined_by"] for query in shop.queries("/v1/members")]
    assert joined == ["list", "purchase"]


def test_a_member_is_found_by_email(shop: FakeServices) -> None:
    page = find(f" {EMAIL} ")
    assert f"**{EMAIL}** · a member by the list · woman · fan_1 on Instagram" in texts(page)
    did = page.dataframe[1].value
    assert list(did["conversion_type"]) == ["Purchase"]
    assert list(did["total"]) == [12.5]
    assert shop.queries(CONVERSIONS) == [{"limit": "100", "email": EMAIL}]
    # An email is personal: it is no part of the address.
    assert EMAIL not in str(page.query_params)


def test_an_unknown_email_is_said_without_those_of_others(shop: FakeServices) -> None:
    shop.documents[CONVERSIONS] = problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", f"There are: {EMAIL}."
    )
    said = texts(find("nobody@example.net"))
    assert "Nobody with this email is in the club." in said
    assert "This email did nothing in a promotion." in said
    assert EMAIL not in said


def test_nobody_is_asked_for_before_an_email_is_typed(shop: FakeServices) -> None:
    open_page("loyalty")
    assert CONVERSIONS not in shop.paths()


def test_without_promotions_it_says_so(shop: FakeServices) -> None:
    shop.serve("/v1/promotions", [])
    said = texts(open_page("loyalty"))
    assert "Nobody has clicked" in said
    assert "Find a member" in said


def test_a_view_asks_at_most_twenty_times(shop: FakeServices) -> None:
    find(EMAIL)
    assert 4 < len(shop.asked) <= 20
