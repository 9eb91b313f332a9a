"""The page of campaigns."""

import pytest

from tests.services.dashboard.support import FakeServices, open_page, row, texts

RESPONSES = "/v1/marts/household/campaign_response"
SEGMENTS = "/v1/marts/household/household_segments"


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """Two campaigns; two of the three households that the first was sent to responded."""
    campaigns = [
        row("household", "campaign_summary", campaign=24, households_redeeming=1200),
        row(
            "household", "campaign_summary", campaign=8, first_day=None, last_day=None,
            campaign_type="TypeB",
        ),
    ]  # fmt: skip
    services.serve("/v1/campaigns", campaigns)
    services.serve("/v1/campaigns/24/daily-sales", [row("household", "daily_campaign_sales")])
    responses = [
        row(
            "household", "campaign_response", household_key=key, redemptions=redemptions,
            has_redeemed=redemptions > 0,
        )
        for key, redemptions in ((1, 2), (2, 0), (3, 5))
    ]  # fmt: skip
    services.serve(RESPONSES, responses)
    services.serve(
        SEGMENTS, [row("household", "household_segments", household_key=3, segment="Loyal")]
    )
    return services


def test_the_latest_campaign_is_shown(shop: FakeServices) -> None:
    page = open_page("campaigns")
    said = texts(page)
    assert "Type A, 30 Oct 2005 to 24 Dec 2005" in said
    assert "Households that redeemed: 1,200" in said
    assert "too near it" not in said
    bars, days = (str(chart.proto) for chart in page.get("vega_lite_chart"))
    for text in ("56 days before", "56 days during", "56 days after"):
        assert text in bars
    # The days before and after are those that the sums are of.
    asked = {"limit": "1000", "from_day": str(587 - 56), "to_day": str(642 + 56)}
    assert shop.queries("/v1/campaigns/24/daily-sales") == [asked]
    assert "2005-10-30" in days


def test_responders_come_with_their_segment(shop: FakeServices) -> None:
    page = open_page("campaigns")
    responders = page.dataframe[0].value
    assert list(responders["household_key"]) == [3, 1]
    # Household 1 is out of scope.
    assert list(responders["segment"]) == ["Loyal", ""]
    assert shop.queries(SEGMENTS)[0]["household_key"] == "3,1"


def test_responders_on_a_second_page_are_shown_too(shop: FakeServices) -> None:
    shop.documents[RESPONSES]["next"] = "abc"
    page = open_page("campaigns")
    assert [one.get("next") for one in shop.queries(RESPONSES)] == [None, "abc"]
    # The fake says of each page that there is another: the fifth is the last that is read.
    assert len(page.dataframe[0].value) == 5 * 2


def test_the_address_names_a_campaign(shop: FakeServices) -> None:
    shop.serve(RESPONSES, [])
    page = open_page("campaigns", campaign=8)
    said = texts(page)
    assert "Type B" in said
    assert "No day of this campaign is in the data" in said
    assert "No household redeemed a coupon of it." in said
    assert shop.queries(RESPONSES) == [{"limit": "1000", "campaign": "8"}]
    assert not any(path.endswith("daily-sales") for path in shop.paths())


def test_stretches_of_different_lengths_are_said(shop: FakeServices) -> None:
    late = row("household", "campaign_summary", campaign=24, days_after=0, sales_after=0.0)
    shop.serve("/v1/campaigns", [late])
    page = open_page("campaigns", campaign=24)
    assert "too near it" in texts(page)
    assert "0 days after" in str(page.get("vega_lite_chart")[0].proto)


def test_without_campaigns_it_says_so(shop: FakeServices) -> None:
    shop.serve("/v1/campaigns", [])
    assert "There are no campaigns in the data." in texts(open_page("campaigns"))


def test_a_view_asks_at_most_twenty_times(shop: FakeServices) -> None:
    open_page("campaigns")
    assert 3 < len(shop.asked) <= 20
