"""The page of segments."""

import httpx
import pytest

from services.dashboard import data
from tests.services.dashboard.support import FakeServices, open_page, row, texts

NAMES = ("Champions", "At risk")
GRID = "/v1/marts/household/segment_cells"


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """A shop with two segments, one of them empty."""
    sizes = [
        row(
            "household",
            "segment_sizes",
            segment=name,
            position=position,
            households=households,
            meaning=f"{name} they are.",
        )
        for position, (name, households) in enumerate(zip(NAMES, (310, 0), strict=True), 1)
    ]
    services.serve("/v1/segments", sizes)
    services.serve("/v1/segments/history", sizes)
    services.serve(GRID, [row("household", "segment_cells")])
    moves = [
        row("household", "segment_moves", from_segment=first, to_segment=NAMES[0])
        for first in (NAMES[0], "none")
    ]
    services.serve("/v1/segments/moves", moves)
    champion = row("household", "household_segments", household_key=5, why="last visit today")
    services.serve("/v1/segments/Champions/households", [champion])
    services.serve("/v1/segments/At risk/households", [])
    return services


def test_the_first_segment_is_listed(shop: FakeServices) -> None:
    page = open_page("segments")
    sizes, households = (table.value for table in page.dataframe)
    assert list(sizes["segment"]) == list(NAMES)
    assert list(households["household_key"]) == [5]
    assert list(households["why"]) == ["Last visit today."]
    assert "Champions they are. 310 households, 31.0% of sales." in texts(page)
    # Only the moves of the last four weeks.
    assert shop.queries("/v1/segments/moves") == [{"limit": "1000", "from_day": "708"}]


def test_the_address_names_a_segment(shop: FakeServices) -> None:
    page = open_page("segments", segment="At risk")
    assert page.selectbox[0].value == "At risk"
    assert "No household is in it today." in texts(page)


def test_a_segment_that_does_not_exist_is_not_asked_for(shop: FakeServices) -> None:
    page = open_page("segments", segment="Winners")
    assert page.selectbox[0].value == "Champions"


def test_the_whole_list_is_what_the_api_writes(shop: FakeServices) -> None:
    written = b"household_key,segment\r\n5,Champions\r\n"
    shop.documents["/v1/segments/Champions/households"] = httpx.Response(200, content=written)
    read = data.csv("/v1/segments/Champions/households", sort="-total_sales")
    assert not shop.asked
    assert read() == written
    assert shop.asked[-1].headers["Accept"] == "text/csv"


def test_a_view_asks_at_most_twenty_times(shop: FakeServices) -> None:
    open_page("segments")
    assert 3 < len(shop.asked) <= 20


def test_the_address_names_two_scores(shop: FakeServices) -> None:
    shop.serve("/v1/households", [row("household", "household_rfm", household_key=9)])
    page = open_page("segments", recency=5, frequency=4)
    assert list(page.dataframe[-1].value["household_key"]) == [9]
    asked = {"limit": "1000", "r_score": "5", "f_score": "4", "sort": "-total_sales"}
    assert shop.queries("/v1/households") == [asked]


def test_two_scores_that_nobody_has_say_so(shop: FakeServices) -> None:
    shop.serve("/v1/households", [])
    assert "No household has both scores." in texts(open_page("segments", recency=1, frequency=5))


def test_one_score_alone_is_not_asked_for(shop: FakeServices) -> None:
    open_page("segments", recency=5)
    assert shop.queries("/v1/households") == []
