"""Today: what happens right now, what is served, how segments moved, what the shop offered."""

from collections.abc import Sequence

import streamlit as st

from services.dashboard import charts, data, links, live_purchases, states, words
from services.dashboard.client import ServiceError, Trouble
from services.dashboard.data import Row
from services.dashboard.tables import table

TITLE = "Today"
ICON = ":material/today:"
PATH = "today"

MOST_MOVES = 8


def show() -> None:
    """What a visitor wants to know first."""
    st.title(TITLE)
    _show_alerts()
    live_purchases.show()
    with states.closed_parts_shown():
        _show_releases()
    for part in (_show_segments, _show_offers):
        # A domain may have no release yet, and the others do.
        with states.problems_shown():
            part()


def _show_alerts() -> None:
    try:
        alerts = data.fresh("/v1/alerts")["data"]
    except ServiceError as error:
        # They are for those who can mend what went wrong.
        if error.trouble is not Trouble.SCOPE_MISSING:
            raise
        return
    if not alerts:
        return
    st.header("Alerts")
    st.error(
        f"**{words.age(alerts[0]['at']).capitalize()}:** {alerts[0]['text']}",
        icon=":material/warning:",
    )
    if alerts[1:]:
        with st.expander("Earlier"):
            table(alerts[1:], ["at", "text"], what="Earlier alerts, the newest first")


def _show_releases() -> None:
    st.header("What is served")
    releases = data.fresh("/v1/releases")["data"]
    if not releases:
        states.empty("Nothing is released yet. `pollux up` does that with made-up data.")
        return
    for column, release in zip(st.columns(len(releases)), releases, strict=True):
        column.metric(
            words.DOMAINS.get(release["domain"], release["domain"]),
            f"Release {release['number']}",
            delta=words.age(release["released_at"]) if release["released_at"] else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
        )


def _show_segments() -> None:
    st.header("Segments of households")
    sizes = data.rows("/v1/segments")
    if not sizes:
        states.empty("No household is in scope yet.")
        return
    charts.show(
        charts.bars(sizes, "segment", "households", tooltip=["share", "total_sales", "meaning"]),
        what="Households by segment, the most valuable first",
    )
    st.header("The largest moves of the last four weeks")
    moves = data.rows("/v1/segments/moves", from_day=sizes[0]["period_end"], sort="-households")
    moved = [row for row in moves if row["from_segment"] not in ("none", row["to_segment"])]
    if not moved:
        states.empty("Every household stayed in its segment.")
        return
    chosen = table(
        moved[:MOST_MOVES],
        ["from_segment", "to_segment", "households", "total_sales"],
        what="The largest moves between segments",
        key="moves",
    )
    if chosen is not None:
        links.go_to("segments", segment=chosen["to_segment"])


def _show_offers() -> None:
    st.header("What the shop offered")
    offers = data.rows("/v1/coupon-offers", sort="-event_date")
    if not offers:
        states.empty(
            "No customer of the shop has been there yet. `pollux demo-store` walks some through "
            "it; the next build counts them."
        )
        return
    st.caption(f"On {words.day(offers[0]['event_date'])}, the last day with events, by department.")
    table(
        _of_the_first_day(offers),
        ["department", "entries", "focuses", "offers", "offers_used"],
        what="Offers of the last day by department",
    )


def _of_the_first_day(offers: Sequence[Row]) -> list[Row]:
    return [row for row in offers if row["event_date"] == offers[0]["event_date"]]
