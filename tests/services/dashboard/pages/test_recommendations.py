"""The page of recommendations."""

import pytest

from tests.services.dashboard.support import FakeServices, open_page, row, run, texts

PRODUCTS = "/v1/households/1/recommendations"
PAIRS = "/v1/marts/household/commodity_associations"


@pytest.fixture
def shop(services: FakeServices) -> FakeServices:
    """A shop with a household, and two commodities, one with a slash in its name."""
    product = row("household", "product_recommendations", sub_commodity="CONDENSED SOUP")
    services.serve(PRODUCTS, [product])
    services.serve("/v1/households", [row("household", "household_rfm", household_key=12)])
    commodities = [
        row("household", "commodities", commodity=name) for name in ("SOUP", "NUTS/SEEDS, MIXED")
    ]
    services.serve("/v1/commodities", commodities)
    pair = row("household", "commodity_associations", associated_commodity="CRACKERS, SALTED")
    services.serve("/v1/commodities/SOUP/associations", [pair])
    services.serve("/v1/commodities/NUTS/SEEDS, MIXED/associations", [pair])
    services.serve(PAIRS, [pair])
    return services


def test_products_come_with_names_and_reasons(shop: FakeServices) -> None:
    products = open_page("recommendations", household=1).dataframe[0].value
    assert list(products["product"]) == ["Condensed soup"]
    assert list(products["kind"]) == ["buys again"]
    assert list(products["reason"]) == ["Bought 14 times, usually every 6 days, last 5 days ago."]
    assert shop.queries(PRODUCTS) == [{"k": "20"}]


def test_new_products_can_be_shown_alone(shop: FakeServices) -> None:
    page = open_page("recommendations", household=1)
    shop.serve(PRODUCTS, [])
    page.radio[0].set_value("new")
    said = texts(run(page))
    assert shop.queries(PRODUCTS)[-1] == {"k": "20", "only": "new"}
    assert "Nothing of this is recommended to household 1." in said


def test_without_a_number_the_largest_are_shown(shop: FakeServices) -> None:
    page = open_page("recommendations")
    assert list(page.dataframe[0].value["household_key"]) == [12]


def test_an_unknown_household_leaves_the_rest_shown(shop: FakeServices) -> None:
    said = texts(open_page("recommendations", household=999))
    assert "Nothing of this is recommended to household 999." in said
    assert "And with each other" in said


def test_what_is_bought_together_is_shown_as_bars_and_as_a_matrix(shop: FakeServices) -> None:
    page = open_page("recommendations")
    bars, matrix = (str(chart.proto) for chart in page.get("vega_lite_chart"))
    assert "Crackers, salted" in bars
    assert "Crackers, salted" in matrix
    names = 'SOUP,"CRACKERS, SALTED"'
    asked = {"limit": "1000", "commodity": names, "associated_commodity": names}
    assert shop.queries(PAIRS) == [asked]


def test_the_strongest_ties_can_be_first(shop: FakeServices) -> None:
    page = open_page("recommendations")
    path = "/v1/commodities/SOUP/associations"
    assert shop.queries(path) == [{"metric": "leverage", "limit": "6"}]
    page.radio[0].set_value("lift")
    said = texts(run(page))
    assert shop.queries(path)[-1] == {"metric": "lift", "limit": "6"}
    assert "beyond what chance" not in said


def test_the_address_names_a_commodity(shop: FakeServices) -> None:
    open_page("recommendations", commodity="NUTS/SEEDS, MIXED")
    # A slash in a name is no part of the path.
    raw = [request.url.raw_path.decode() for request in shop.asked]
    assert any("/NUTS%2FSEEDS%2C%20MIXED/associations" in path for path in raw)
    assert shop.queries(PAIRS)[0]["commodity"].startswith('"NUTS/SEEDS, MIXED",')


def test_a_commodity_alone_says_so(shop: FakeServices) -> None:
    del shop.documents["/v1/commodities/SOUP/associations"]
    assert "Too few baskets hold it" in texts(open_page("recommendations"))


def test_without_sales_it_says_so(shop: FakeServices) -> None:
    shop.serve("/v1/commodities", [])
    assert "No commodity was sold." in texts(open_page("recommendations"))


def test_a_view_asks_at_most_twenty_times(shop: FakeServices) -> None:
    open_page("recommendations", household=1)
    assert 3 < len(shop.asked) <= 20
