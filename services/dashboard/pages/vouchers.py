"""Vouchers: which one a customer would get and why, and what each country's segments use."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import streamlit as st

from services.dashboard import charts, data, inputs, outcomes, states, words
from services.dashboard.client import Service
from services.dashboard.data import Row
from services.dashboard.tables import table

TITLE = "Vouchers"
ICON = ":material/redeem:"
PATH = "vouchers"

BY_ORDERS, BY_DAYS, ALL = "frequency_segment", "recency_segment", "country"
KINDS = {BY_ORDERS: "how many orders", BY_DAYS: "days since the last order"}
# The answer does not depend on who it is.
ANYONE = 0
YEAR = timedelta(days=365)
MONTH_AND_MORE = timedelta(days=45)

Bounds = Mapping[tuple[str, str], Row]


def show() -> None:
    """The vouchers of a country, the first unless the address names another (`?country=Peru`)."""
    st.title(TITLE)
    countries = data.rows("/v1/marts/customer/country_voucher_details_view")
    if not countries:
        states.empty("No voucher was assigned in the data.")
        return
    country = inputs.choose("Country", [row["country_code"] for row in countries], "country")
    segments = data.rows("/v1/vouchers/segments")
    bounds = {(row["segment_name"], row["segment"]): row for row in segments}
    with states.problems_shown():
        _show_choice(country, bounds)
    _show_ranking(country, bounds)
    _show_segments(country, bounds)
    _show_cleaning()


def _show_choice(country: str, bounds: Bounds) -> None:
    st.header("Which voucher would a customer get?")
    asked = _ask(country)
    found = data.ask(Service.API, "/v1/vouchers/select", {"explain": True}, asked)
    answer, others = st.columns([2, 3])
    answer.metric("Voucher", _amount(found["voucher_amount"]), border=True)
    answer.markdown(_because(found, bounds))
    with others:
        runners_up = [_voucher(row) for row in found["runners_up"]]
        if runners_up:
            st.markdown("**Used next most often**")
            charts.show(
                charts.bars(runners_up, "amount", "share_of_vouchers", tooltip=["times_used"]),
                what="Vouchers that are used next most often, with their shares",
            )
        else:
            st.markdown("No other voucher is used there.")


def _ask(country: str) -> dict[str, Any]:
    """The customer that the viewer describes, as the API takes it."""
    today = datetime.now(UTC).date()
    with st.form("customer"):
        by, orders, first, last = st.columns(4, vertical_alignment="bottom")
        segment_name = by.selectbox("Choose by", list(KINDS), format_func=KINDS.__getitem__)
        total_orders = orders.number_input("Orders so far", min_value=0, value=10, step=1)
        first_order = first.date_input("First order", today - YEAR, max_value=today)
        last_order = last.date_input("Last order", today - MONTH_AND_MORE, max_value=today)
        st.form_submit_button("Choose a voucher")
    return {
        "customer_id": ANYONE,
        "country_code": country,
        "segment_name": segment_name,
        "total_orders": int(total_orders),
        "first_order_ts": datetime.combine(first_order, time()).isoformat(),
        "last_order_ts": datetime.combine(last_order, time()).isoformat(),
    }


def _because(found: Row, bounds: Bounds) -> str:
    country = found["country_code"]
    used = (
        f"{words.number(found['times_used'])} times, {words.share(found['share'])} of the vouchers"
    )
    if found["basis"] == "segment":
        whom = segment_in_words(found["segment_name"], found["segment"], bounds)
        return f"The voucher used most in {country} in the segment of {whom}: {used} there."
    if found["segment"] is None:
        why = "The customer is in no segment"
    else:
        whom = segment_in_words(found["segment_name"], found["segment"], bounds)
        why = f"No voucher was used in {country} in the segment of {whom}"
    return f"{why}, so it is the one used most in all of {country}: {used} there."


def _show_ranking(country: str, bounds: Bounds) -> None:
    st.header(f"What is used in {country}")
    used = [
        _voucher(row) | {"segment": segment_in_words(row["segment_name"], row["segment"], bounds)}
        for row in data.rows("/v1/vouchers", country_code=country)
    ]
    amounts = sorted({row["voucher_amount"] for row in used})
    present = {row["segment"] for row in used}
    order = [segment_in_words(ALL, "all", bounds)]
    order += [segment_in_words(*place, bounds) for place in bounds]
    charts.show(
        charts.heat(
            used,
            "amount",
            "segment",
            "share_of_vouchers",
            x_order=[_amount(amount) for amount in amounts],
            y_order=[segment for segment in order if segment in present],
            tooltip=["times_used", "rank"],
        ),
        what=f"Share of each voucher in each segment of {country}",
    )
    st.caption("Each row adds up to 100 %. Amounts are in the country's money.")


@states.closed_parts_shown()
def _show_segments(country: str, bounds: Bounds) -> None:
    st.header("How large the segments are")
    shares = {
        (row["segment_name"], row["segment"]): row
        for row in data.rows("/v1/marts/customer/voucher_segment_shares", country_code=country)
    }
    known = [place for place in shares if place not in bounds]
    rows = [
        {
            "segment_kind": KINDS[place[0]].capitalize(),
            "segment": segment_in_words(*place, bounds),
            "share_of_assignments": shares[place]["share"] if place in shares else 0.0,
        }
        for place in sorted([*bounds, *known], key=lambda place: list(KINDS).index(place[0]))
    ]
    table(
        rows,
        ["segment_kind", "segment", "share_of_assignments"],
        what=f"Segments that vouchers are chosen by, and their shares in {country}",
    )


def _show_cleaning() -> None:
    st.header("What the figures rest on")
    outcomes.show(
        data.rows("/v1/vouchers/cleaning-report"),
        "rows",
        what="Raw assignments of all countries that were kept, or dropped, by reason",
    )


def segment_in_words(kind: str, segment: str, bounds: Bounds) -> str:
    """A segment of customers, such as 5 to 13 orders."""
    unit = "orders" if kind == BY_ORDERS else "days away"
    if kind == ALL:
        return "all customers"
    found = bounds.get((kind, segment))
    if found is None:
        return f"other {unit}"
    first, last = found["first_number"], found["last_number"]
    return f"{first} or more {unit}" if last is None else f"{first} to {last} {unit}"


def _voucher(row: Row) -> dict[str, Any]:
    return dict(row) | {
        "amount": _amount(row["voucher_amount"]),
        "share_of_vouchers": row["share"],
    }


def _amount(amount: float) -> str:
    """An amount in the country's money, with decimals only where it has some."""
    return f"{amount:,.2f}".removesuffix(".00")
