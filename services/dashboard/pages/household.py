"""A household: who it is, its segment and why, what it buys, what it will buy next."""

from collections.abc import Sequence

import altair as alt
import streamlit as st

from services.dashboard import charts, data, inputs, states, words
from services.dashboard.data import Row
from services.dashboard.products import recommended
from services.dashboard.tables import table

TITLE = "Household"
ICON = ":material/home:"
PATH = "household"

SIZES = {1: "One person", 2: "Two people", 3: "Three people or more"}
LARGEST = 10
BASKET = 10
TOGETHER = 8
CHART_HEIGHT = 220
LIVE_SECONDS = 2


def show() -> None:
    """The household that the address names (`?household=1`), or the largest to choose from."""
    st.title(TITLE)
    household = inputs.number("Number of the household", PATH, such_as=1)
    if household is None:
        _show_largest()
        return
    path = f"/v1/households/{household}"
    found = data.find_live(path)
    if found is None:
        states.empty(f"No household {household} is in scope. Choose one of a segment instead.")
        _show_largest()
        return
    _show_worth(found.document)
    st.fragment(_follow, run_every=LIVE_SECONDS)(path, found.etag)
    summary = data.find_live(f"{path}/summary")
    _show_who(found.document, None if summary is None else summary.document)
    _show_weeks(path, found.etag)
    basket = recommended(household, BASKET, etag=found.etag)
    _show_basket(basket)
    _show_together(basket)
    _show_history(path, found.etag)


def _follow(path: str, etag: str) -> None:
    """Draws the page anew as soon as the household buys something, or another release has it."""
    with states.problems_shown():
        found = data.find_live(path)
        if found is None or found.etag != etag:
            st.rerun()
        if found.computed_at is not None:
            st.caption(
                f":material/bolt: Newer than the release, computed {words.age(found.computed_at)}."
            )


def _show_largest() -> None:
    st.header("The households with the highest sales")
    largest = data.rows("/v1/households", sort="-total_sales", limit=LARGEST)
    table(
        largest,
        ["household_key", "total_sales", "baskets", "first_date", "last_date"],
        what="The households with the highest sales",
        key="largest",
        sets={PATH: "household_key"},
    )


def _show_worth(household: Row) -> None:
    segment = household["segment"]
    st.header(f"{segment['name']}, since {words.day(segment['since_date'])}")
    st.markdown(words.sentence(segment["why"]))
    sales, baskets, last, scores = st.columns(4)
    sales.metric("Sales", words.whole_money(household["total_sales"]), border=True)
    baskets.metric("Baskets", words.number(household["baskets"]), border=True)
    last.metric("Last visit", words.day(household["last_date"]), border=True)
    scores.metric(
        "Recency, frequency, sales",
        f"{household['r_score']} · {household['f_score']} · {household['m_score']}",
        help="Each from 1, the lowest fifth, to 5. Recency has bounds in days instead of fifths.",
        border=True,
    )


def _show_who(household: Row, summary: Row | None) -> None:
    if summary is None:
        states.empty("Who lives here is not known, so there are no sales by section either.")
        return
    st.header("Who they are, what they spend on")
    facts = [
        SIZES[summary["single_couple_family"]],
        "with kids" if summary["has_kids"] else "no kids",
        "45 or older" if summary["age_45_plus"] else "younger than 45",
        f"income {'of' if summary['income_50K_plus'] else 'below'} $50,000"
        + (" or more" if summary["income_50K_plus"] else ""),
        f"here since {words.day(household['first_date'])}",
    ]
    st.markdown(" · ".join(facts))
    sections = [
        {"section": name, "total_sales": summary[column]}
        for column, name in words.SECTIONS.items()
        if summary[column]
    ]
    sections.sort(key=lambda row: -row["total_sales"])
    charts.show(
        charts.bars(sections, "section", "total_sales"), what="Sales by section of the shop"
    )


def _show_weeks(path: str, etag: str) -> None:
    st.header("Week by week")
    weeks = [
        dict(row) | dict(zip(("week", "week_end"), _ends_of(row["week_no"]), strict=True))
        for row in data.find_rows(f"{path}/weekly-sales", etag, limit=data.MOST_ROWS)
    ]
    # Who is new since the release was sent none.
    campaigns = data.find_rows(f"{path}/campaigns", etag, limit=data.MOST_ROWS, sort="start_day")
    bars = (
        alt.Chart(charts.frame(weeks, ["week", "week_end", "total_sales", "baskets"]))
        .mark_rect(color=charts.MAIN)
        .encode(
            x=charts.days("week"),
            x2="week_end:T",
            y=charts.amounts("total_sales").scale(zero=True),
            y2=alt.datum(0),
            tooltip=charts.tooltips(["week", "total_sales", "baskets"]),
        )
    )
    charts.show(
        alt.layer(*_campaign_marks(campaigns), bars).properties(height=CHART_HEIGHT),
        what="Sales by week, with the campaigns that were sent to the household",
    )
    if campaigns:
        st.caption("Shaded: a campaign that it was sent, or whose coupons it redeemed.")
        table(
            campaigns,
            ["campaign", "start_date", "end_date", "is_targeted", "redemptions", "days_to_redeem"],
            what="Campaigns of the household",
        )


def _ends_of(week: int) -> tuple[str, str]:
    """The first days of a week and of the next one."""
    return words.date_of_week(week).isoformat(), words.date_of_week(week + 1).isoformat()


def _campaign_marks(campaigns: Sequence[Row]) -> list[alt.Chart]:
    if not campaigns:
        return []
    shown = ["campaign", "start_date", "end_date", "redemptions"]
    marks = alt.Chart(charts.frame(campaigns, shown)).mark_rect(color=charts.QUIET, opacity=0.25)
    return [
        marks.encode(x=charts.days("start_date"), x2="end_date:T", tooltip=charts.tooltips(shown))
    ]


def _show_basket(basket: Sequence[Row]) -> None:
    st.header("What the next basket will hold")
    if not basket:
        states.empty("Nothing is recommended to this household yet.")
        return
    table(
        basket,
        ["rank", "product", "kind", "reason", "size", "brand"],
        what="Products for the next basket, the likeliest first",
    )


def _show_together(basket: Sequence[Row]) -> None:
    commodities = list(dict.fromkeys(row["commodity"] for row in basket if row["commodity"]))
    if not commodities:
        return
    st.header("What goes with it")
    commodity = st.selectbox(
        "Bought together with", commodities, format_func=words.in_words, width=320
    )
    path = f"/v1/commodities/{data.in_path(commodity)}/associations"
    found = data.find(path, limit=TOGETHER)
    if found is None or not found["data"]:
        states.empty("Nothing is bought together with this more often than by chance.")
        return
    together = [
        dict(row) | {"associated_commodity": words.in_words(row["associated_commodity"])}
        for row in found["data"]
    ]
    charts.show(
        charts.bars(together, "associated_commodity", "lift", tooltip=["baskets", "confidence"]),
        what="Commodities bought in the same baskets, and how much more often than by chance",
    )
    st.caption("Times as often in the same basket as by chance.")


def _show_history(path: str, etag: str) -> None:
    st.header("How its segment changed")
    history = data.find_rows(f"{path}/segments", etag, limit=data.MOST_ROWS, sort="-period_end")
    table(
        history,
        ["period_end_date", "segment", "r_score", "f_score", "m_score", "total_sales"],
        what="Segments of the household at the end of every four weeks, the latest first",
    )
