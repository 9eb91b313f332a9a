"""Segments of households: how many, since when, who is in them, who moves where."""

import altair as alt
import streamlit as st

from services.dashboard import charts, data, inputs, links, states, words
from services.dashboard.data import Row
from services.dashboard.tables import csv_button, table

TITLE = "Segments"
ICON = ":material/groups:"
PATH = "segments"

SCORES = (1, 2, 3, 4, 5)
GRID = "/v1/marts/household/segment_cells"
CHART_HEIGHT = 340
# By position, from the most valuable: greens, blues, ambers, reds, greys.
COLOURS = (
    *("#0b7a75", "#35a29a", "#86c98f", "#9db8f2", "#5b84d7", "#f0c24f", "#ef9f4a"),
    *("#e3714f", "#bf3b34", "#a3a9b5", "#6d7483"),
)
LIST = ["household_key", "since_date", "total_sales", "why"]


def show() -> None:
    """All segments, and who is in one (`?segment=Champions`) or has two scores."""
    st.title(TITLE)
    sizes = data.rows("/v1/segments")
    names = [row["segment"] for row in sizes]
    st.markdown(
        f"As of {words.day(sizes[0]['period_end_date'])}, by how recently, how often and for how "
        "much each household shopped."
    )
    _show_sizes(sizes)
    _show_list(sizes)
    _show_grid()
    _show_shares(names)
    _show_moves(names, sizes[0]["period_end"])


def _show_sizes(sizes: list[Row]) -> None:
    columns = ["segment", "households", "share", "total_sales", "sales_share", "meaning"]
    table(
        sizes,
        columns,
        what="Segments, the most valuable first",
        key="sizes",
        sets={"segment": "segment"},
    )
    st.caption("Choose a row to see who is in it.")


def _show_list(sizes: list[Row]) -> None:
    st.header("Who is in it")
    segment = inputs.choose("Segment", [row["segment"] for row in sizes], "segment")
    chosen = next(row for row in sizes if row["segment"] == segment)
    st.markdown(
        f"{chosen['meaning']} {words.number(chosen['households'])} households, "
        f"{words.share(chosen['sales_share'])} of sales."
    )
    path = f"/v1/segments/{data.in_path(segment)}/households"
    households = data.rows(path, sort="-total_sales")
    if not households:
        states.empty("No household is in it today.")
        return
    if chosen["households"] > len(households):
        st.caption(f"Shown: the {len(households):,} with the highest sales. The CSV has all.")
    row = table(
        [dict(row) | {"why": words.sentence(row["why"])} for row in households],
        LIST,
        what=f"Households of the segment {segment}, the highest sales first",
        key=f"households of {segment}",
    )
    st.caption("Choose a row to see the household.")
    csv_button(segment, path, sort="-total_sales")
    if row is not None:
        links.go_to("household", household=row["household_key"])


@states.closed_parts_shown()
def _show_grid() -> None:
    st.header("By recency and frequency")
    cells = data.rows(GRID)
    grid = charts.heat(
        cells,
        "f_score",
        "r_score",
        "households",
        x_order=SCORES,
        y_order=SCORES[::-1],
        tooltip=["share", "total_sales", "sales_share"],
    )
    charts.choose(
        grid,
        what="Households by recency, upwards, and frequency, to the right, 5 being the best",
        key="grid",
        sets={"recency": "r_score", "frequency": "f_score"},
    )
    st.caption("5 is the latest visit, and the most baskets a day. Click a cell, or choose both:")
    recency, frequency = st.columns(2, width=480)
    with recency:
        r_score = _choose_score("recency")
    with frequency:
        f_score = _choose_score("frequency")
    if r_score is not None and f_score is not None:
        _show_cell(r_score, f_score)


def _choose_score(name: str) -> int | None:
    return st.selectbox(
        name.capitalize(),
        SCORES,
        index=None,
        key=name,
        bind="query-params",
        placeholder="1 to 5",
    )


def _show_cell(r_score: int, f_score: int) -> None:
    parameters: dict[str, str | float | bool] = {
        "r_score": r_score,
        "f_score": f_score,
        "sort": "-total_sales",
    }
    households = data.rows("/v1/households", **parameters)
    if not households:
        states.empty("No household has both scores.")
        return
    row = table(
        households,
        ["household_key", "total_sales", "baskets", "first_date", "last_date", "m_score"],
        what=f"Households of recency {r_score} and frequency {f_score}, the highest sales first",
        key=f"cell {r_score} {f_score}",
    )
    csv_button(f"recency-{r_score}-frequency-{f_score}", "/v1/households", **parameters)
    if row is not None:
        links.go_to("household", household=row["household_key"])


def _show_shares(names: list[str]) -> None:
    st.header("Shares over time")
    history = data.rows("/v1/segments/history")
    columns = ["period_end_date", "segment", "position", "share", "households", "sales_share"]
    areas = (
        alt.Chart(charts.frame(history, columns))
        .mark_area()
        .encode(
            x=charts.days("period_end_date"),
            y=charts.amounts("share", format_=".0%").stack("zero").scale(domain=[0, 1]),
            color=alt.Color(
                "segment:N",
                title=None,
                scale=alt.Scale(domain=names, range=COLOURS[: len(names)]),
                legend=alt.Legend(orient="bottom", columns=2, labelLimit=charts.LABEL_PIXELS),
            ),
            order=alt.Order("position:Q", sort="descending"),
            tooltip=charts.tooltips(["period_end_date", "segment", "households", "share"]),
        )
    )
    charts.show(
        areas.properties(height=CHART_HEIGHT),
        what="Share of households in each segment at the end of every four weeks",
    )


def _show_moves(names: list[str], period_end: int) -> None:
    st.header("Moves in the last four weeks")
    moves = data.rows("/v1/segments/moves", from_day=period_end)
    came = [row for row in moves if row["from_segment"] in names]
    charts.show(
        charts.heat(
            came,
            "to_segment",
            "from_segment",
            "households",
            x_order=names,
            y_order=names,
            tooltip=["total_sales"],
        ),
        what="Households by the segment of four weeks before and today's",
    )
    st.caption("On the diagonal: households that stayed where they were.")
