"""What became of raw rows, as the pages of vouchers and of data quality show it."""

from collections.abc import Sequence

import streamlit as st

from services.dashboard import charts, states
from services.dashboard.data import Row

KEPT = "kept"


def show(outcomes: Sequence[Row], count: str, *, what: str) -> None:
    """Rows by outcome, kept or dropped for a reason; `count` is the column of their number."""
    found = sorted(
        (
            {"outcome": row["outcome"].capitalize(), "count": row[count]}
            for row in outcomes
            if row[count]
        ),
        key=lambda row: (row["outcome"] != KEPT.capitalize(), -row["count"]),
    )
    if not found:
        states.empty("No row came in.")
        return
    charts.show(charts.bars(found, "outcome", "count"), what=what)
    unused = [row["outcome"] for row in outcomes if not row[count]]
    if unused:
        st.caption(f"Nothing was dropped for: {', '.join(unused)}.")
