"""Today: what is served, how segments moved, what the shop was offered."""

import streamlit as st

from services.dashboard import charts, data, words

TITLE = "Today"
ICON = ":material/today:"
PATH = "today"


def show() -> None:
    """What a visitor wants to know first."""
    st.title(TITLE)
    st.subheader("Releases")
    releases = data.releases()
    for column, (domain, name) in zip(st.columns(len(releases)), releases.items(), strict=True):
        column.metric(
            words.DOMAINS.get(domain, domain), name.removeprefix(f"{domain}-"), border=True
        )
    st.subheader("Segments of households")
    sizes = data.rows("/v1/segments")
    charts.show(
        charts.bars(sizes, "segment", "households", tooltip=["share", "total_sales", "meaning"]),
        what="Households by segment, the most valuable first",
    )
