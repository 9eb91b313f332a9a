"""The page of campaigns."""

import pytest

from tests.services.dashboard.support import FakeServices, open_page, row, texts

RESPONSES = "/v1/marts/household/campaign_response"
SEGMENTS = "/v1/marts/household/household_segments"
BY_SEGMENT = "/v1/campaigns/24/segments"


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """Two campaigns; the first was sent to two segments, and two of three households responded."""
    campaigns = [
        row("household", "campaign_summary", campaign=24, households_redeeming=1200),
        row(
            "household", "campaign_summary", campaign=8, first_day=None, last_day=None,
            campaign_type="TypeB",
        ),
    ]  # fmt: skip
    services.serve("/v1/campaigns", campaigns)
    services.serve("/v1/campaigns/24/daily-sales", [row("household", "daily_campaign_sales")])
    by_segment = [
        row(
            "household", "campaign_segments", position=1, segment="Champions",
            mean_sales_before=3.25, mean_sales_during=6.5, mean_sales_after=4.75,
        ),
        row("household", "campaign_segments", position=12, segment="none", redemption_rate=0.0),
    ]  # fmt: skip
    services.serve(BY_SEGMENT, by_segment)
    services.serve("/v1/campaigns/8/segments", [])
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
    bars, days, *_ = (str(chart.proto) for chart in page.get("vega_lite_chart"))
    for text in ("56 days before", "56 days during", "56 days after"):
        assert text in bars
    # The days before and after are those that the sums are of.
    asked = {"limit": "1000", "from_day": str(587 - 56), "to_day": str(642 + 56)}
    assert shop.queries("/v1/campaigns/24/daily-sales") == [asked]
    assert "2005-10-30" in days


def test_a_campaign_is_shown_by_segment(shop: FakeServices) -> None:
    page = open_page("campaigns")
    segments = page.dataframe[0].value
    # Their order is that of the API.
    assert list(segments["segment"]) == ["Champions", "In no segment yet"]
    assert list(segments["households_targeted"]) == [214, 214]
    assert segments["redemption_rate"][1] == 0
    assert list(segments.loc[0, "mean_sales_before":"mean_sales_after"]) == [3.25, 6.5, 4.75]
    _, _, sales, redeemed = (str(chart.proto) for chart in page.get("vega_lite_chart"))
    for text in ("Champions", "In no segment yet", "56 days before", "56 days after"):
        assert text in sales
    assert "In no segment yet" in redeemed


def test_without_days_in_the_data_segments_have_no_sales(shop: FakeServices) -> None:
    shop.serve("/v1/campaigns/8/segments", [row("household", "campaign_segments")])
    page = open_page("campaigns", campaign=8)
    assert list(page.dataframe[0].value.columns) == [
        *("segment", "households_targeted", "households_redeeming", "redemption_rate"),
    ]
    assert len(page.get("vega_lite_chart")) == 1


def test_responders_come_with_their_segment(shop: FakeServices) -> None:
    page = open_page("campaigns")
    responders = page.dataframe[1].value
    assert list(responders["household_key"]) == [3, 1]
    # Household 1 is out of scope.
    assert list(responders["segment"]) == ["Loyal", ""]
    assert shop.queries(SEGMENTS)[0]["household_key"] == "3,1"


def test_responders_on_a_second_page_are_shown_too(shop: FakeServices) -> None:
    shop.documents[RESPONSES]["next"] = "abc"
    page = open_page("campaigns")
    assert [one.get("next") for one in shop.queries(RESPONSES)] == [None, "abc"]
    # The fake says of each page that there is another: the fifth is the last that is read.
    assert len(page.dataframe[1].value) == 5 * 2


def test_the_address_names_a_campaign(shop: FakeServices) -> None:
    shop.serve(RESPONSES, [])
    page = open_page("campaigns", campaign=8)
    said = texts(page)
    assert "Type B" in said
    assert "No day of this campaign is in the data" in said
    assert "It was sent to no household." in said
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
