"""Recommendations: what a household buys next and why, and what is bought together."""

from collections.abc import Sequence

import streamlit as st

from services.dashboard import charts, data, inputs, states, words
from services.dashboard.data import Row
from services.dashboard.products import recommended
from services.dashboard.tables import table

TITLE = "Recommendations"
ICON = ":material/recommend:"
PATH = "recommendations"

EVERYTHING = "everything"
ONLY = {EVERYTHING: "Everything", "repeat": "What it buys again", "new": "What is new to it"}
PRODUCTS = 20
TOGETHER = 6
METRICS = {"leverage": "Most extra baskets", "lift": "Strongest tie"}
LARGEST = 10
ASSOCIATIONS = "/v1/marts/household/commodity_associations"


def show() -> None:
    """A household's next basket (`?household=1`), and a commodity's companions (`?commodity=`)."""
    st.title(TITLE)
    _show_products()
    _show_together()


def _show_products() -> None:
    st.header("What a household will buy")
    number, only = st.columns([1, 2], vertical_alignment="bottom")
    household = inputs.number("Number of the household", "household", such_as=1, place=number)
    if household is None:
        _show_largest()
        return
    kind = only.radio("Show", list(ONLY), format_func=ONLY.__getitem__, horizontal=True)
    narrowed = {} if kind == EVERYTHING else {"only": kind}
    products = recommended(household, PRODUCTS, **narrowed)
    if not products:
        states.empty(
            f"Nothing of this is recommended to household {household}. Choose another number, or "
            "show everything."
        )
        return
    table(
        products,
        ["rank", "product", "kind", "reason", "size", "brand"],
        what="Products for the next basket, the likeliest first",
    )


def _show_largest() -> None:
    largest = data.rows("/v1/households", sort="-total_sales", limit=LARGEST)
    st.markdown("Type its number, or choose one of those with the highest sales.")
    table(
        largest,
        ["household_key", "total_sales", "baskets", "last_date"],
        what="The households with the highest sales",
        key="largest",
        sets={"household": "household_key"},
    )


def _show_together() -> None:
    st.header("What is bought together")
    commodities = data.rows("/v1/commodities", sort="-total_sales")
    if not commodities:
        states.empty("No commodity was sold.")
        return
    commodity = inputs.choose("Commodity", [row["commodity"] for row in commodities], "commodity")
    metric = st.radio("First", list(METRICS), format_func=METRICS.__getitem__, horizontal=True)
    path = f"/v1/commodities/{data.in_path(commodity)}/associations"
    found = data.find(path, metric=metric, limit=TOGETHER)
    if found is None or not found["data"]:
        states.empty("Too few baskets hold it together with another: choose another commodity.")
        return
    companions = found["data"]
    shown = [dict(row) | _in_words(row) for row in companions]
    charts.show(
        charts.bars(
            shown, "associated_commodity", metric, tooltip=["lift", "baskets", "confidence"]
        ),
        what=f"What comes with {commodity} more often than by chance",
    )
    st.caption(
        "Share of all baskets that hold both, beyond what chance would put together."
        if metric == "leverage"
        else "Times as often in the same basket as by chance."
    )
    _show_matrix([commodity, *(row["associated_commodity"] for row in companions)])


@states.closed_parts_shown()
def _show_matrix(names: Sequence[str]) -> None:
    st.header("And with each other")
    listed = ",".join(f'"{name}"' if "," in name else name for name in names)
    pairs = data.rows(ASSOCIATIONS, commodity=listed, associated_commodity=listed)
    order = [words.in_words(name) for name in names]
    charts.show(
        charts.heat(
            [dict(row) | _in_words(row) for row in pairs],
            "associated_commodity",
            "commodity",
            "lift",
            x_order=order,
            y_order=order,
            tooltip=["baskets", "confidence"],
            format_=".1f",
        ),
        what="How much more often than by chance each pair of these is in the same basket",
    )
    st.caption("Times as often in the same basket as by chance. Empty: too few baskets hold both.")


def _in_words(row: Row) -> dict[str, str]:
    return {name: words.in_words(row[name]) for name in ("commodity", "associated_commodity")}
