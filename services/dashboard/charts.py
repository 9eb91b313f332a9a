"""Charts: one look, legible on light and dark, and on a screen of 400 pixels.

Belongs here: kinds of charts that several pages use. Does not belong here: what a page shows.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from services.dashboard.words import COLUMNS, FORMATS

# Both keep a contrast of 3 : 1 with the light and the dark background.
MAIN, QUIET, AGAINST = "#14897f", "#8b95a1", "#d97a1f"
# From light to dark on either background, so that a number is legible on each by its own colour.
SCALE = ("#e3f4f1", "#0b5f58")
INK_ON_LIGHT, INK_ON_DARK = "#4b5563", "#c3ccd5"
ON_LIGHT, ON_DARK = "#17211f", "#ffffff"
# Of things without an order, such as channels; legible on both backgrounds, too.
KINDS = ("#14897f", "#5b84d7", "#d97a1f", "#d0554a", "#8b7fc7", "#7f8a96")
BAR_HEIGHT = 24
CELL_HEIGHT = 34
LABEL_PIXELS = 180
CLICKED = "clicked"

Rows = Sequence[Mapping[str, Any]]
AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart


def show(chart: AnyChart, *, what: str) -> None:
    """Shows a chart as wide as the page; `what` says to a screen reader what is in it."""
    st.altair_chart(chart, width="stretch", alt=what)


def choose(chart: AnyChart, *, what: str, key: str, sets: Mapping[str, str]) -> None:
    """Shows a chart that can be clicked.

    `sets` names widgets of the same page, which stand below, and the fields of the clicked mark
    that they are set to.
    """
    clicked = alt.selection_point(name=CLICKED, fields=list(sets.values()), toggle=False)
    st.altair_chart(
        chart.add_params(clicked),
        width="stretch",
        alt=what,
        key=key,
        on_select=partial(_set, key, sets),
    )


def _set(key: str, sets: Mapping[str, str]) -> None:
    for mark in st.session_state[key].selection.get(CLICKED, []):
        st.session_state.update({name: mark[field] for name, field in sets.items()})


def bars(rows: Rows, label: str, value: str, *, tooltip: Sequence[str] = ()) -> AnyChart:
    """A bar for each row, in the order of the rows, with its value beside it."""
    base = alt.Chart(frame(rows, [label, value, *tooltip])).encode(
        y=alt.Y(label, type="nominal", sort=None, title=None, axis=_labels()),
        tooltip=tooltips([label, value, *tooltip]),
    )
    x = alt.X(
        value, type="quantitative", axis=None, scale=alt.Scale(domain=[0, _room(rows, value)])
    )
    numbers = alt.Text(value, type="quantitative", format=_short(value))
    bar = base.mark_bar(color=MAIN, cornerRadiusEnd=3).encode(x=x)
    text = base.mark_text(align="left", dx=5, color=ink()).encode(x=x, text=numbers)
    return alt.layer(bar, text).properties(height=alt.Step(BAR_HEIGHT))


def grouped_bars(
    rows: Rows, label: str, group: str, value: str, *, format_: str | None = None
) -> AnyChart:
    """Bars side by side for each label, one for each group, in the order of the rows."""
    groups = list(dict.fromkeys(row[group] for row in rows))
    base = alt.Chart(frame(rows, [label, group, value])).encode(
        y=alt.Y(label, type="nominal", sort=None, title=None, axis=_labels()),
        yOffset=alt.YOffset(group, type="nominal", sort=groups),
        tooltip=tooltips([label, group, value]),
    )
    x = alt.X(
        value, type="quantitative", axis=None, scale=alt.Scale(domain=[0, _room(rows, value)])
    )
    colour = alt.Color(
        group,
        type="nominal",
        title=None,
        scale=alt.Scale(domain=groups, range=KINDS[: len(groups)]),
        legend=alt.Legend(orient="bottom", columns=2, labelLimit=LABEL_PIXELS),
    )
    numbers = alt.Text(value, type="quantitative", format=format_ or _short(value))
    bar = base.mark_bar(cornerRadiusEnd=3).encode(x=x, color=colour)
    text = base.mark_text(align="left", dx=5, color=ink()).encode(x=x, text=numbers)
    step = alt.Step(BAR_HEIGHT * 0.8, **{"for": "offset"})
    return alt.layer(bar, text).properties(height=step)


def heat(
    rows: Rows,
    x: str,
    y: str,
    value: str,
    *,
    x_order: Sequence[Any],
    y_order: Sequence[Any],
    tooltip: Sequence[str] = (),
    format_: str | None = None,
) -> AnyChart:
    """A cell for each pair, the darker the more; its number in it."""
    base = alt.Chart(frame(rows, [x, y, value, *tooltip])).encode(
        x=alt.X(x, type="ordinal", sort=list(x_order), title=COLUMNS[x].label, axis=_labels(x)),
        y=alt.Y(y, type="ordinal", sort=list(y_order), title=COLUMNS[y].label, axis=_labels()),
        tooltip=tooltips([x, y, value, *tooltip]),
    )
    most = max((float(row[value] or 0) for row in rows), default=0.0)
    # From zero, so that the ink below changes where the cells have become dark.
    scale = alt.Scale(domain=[0, most or 1], range=SCALE)
    colour = alt.Color(value, type="quantitative", scale=scale, legend=None)
    on_cell = alt.condition(
        alt.FieldGTPredicate(field=value, gt=most / 2), alt.value(ON_DARK), alt.value(ON_LIGHT)
    )
    cell = base.mark_rect(cornerRadius=3, stroke=None).encode(color=colour)
    number = base.mark_text().encode(
        text=alt.Text(value, type="quantitative", format=format_ or _short(value)), color=on_cell
    )
    return alt.layer(cell, number).properties(height=alt.Step(CELL_HEIGHT))


def days(column: str, *, format_: str = "%b %Y") -> alt.X:
    """A time axis whose labels leave room for each other."""
    axis = alt.Axis(format=format_, labelOverlap="greedy", labelFlush=True, tickCount=6)
    return alt.X(column, type="temporal", title=None, axis=axis)


def amounts(column: str, *, format_: str | None = None) -> alt.Y:
    """An axis of amounts from zero, its title above it rather than beside it."""
    axis = alt.Axis(
        format=format_ or _short(column),
        tickCount=4,
        # No half of what is counted.
        tickMinStep=1 if COLUMNS[column].kind == "number" else alt.Undefined,
        titleAngle=0,
        titleAlign="left",
        titleAnchor="end",
        titleX=0,
        titleY=-12,
    )
    return alt.Y(column, type="quantitative", title=COLUMNS[column].label, axis=axis)


def tooltips(columns: Sequence[str]) -> list[alt.Tooltip]:
    """Columns as they are shown under the pointer."""
    return [_tooltip(column) for column in dict.fromkeys(columns)]


def ink() -> str:
    """The colour of text in a chart: Streamlit's theme has none for it."""
    return INK_ON_DARK if st.context.theme.type == "dark" else INK_ON_LIGHT


def frame(rows: Rows, columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a chart takes them."""
    return pd.DataFrame(list(rows), columns=list(dict.fromkeys(columns)))


def _room(rows: Rows, value: str) -> float:
    """The end of an axis that leaves room for the longest number beside the longest bar."""
    return max((float(row[value] or 0) for row in rows), default=0.0) * 1.25 or 1.0


def _tooltip(column: str) -> alt.Tooltip:
    label, kind = COLUMNS[column].label, COLUMNS[column].kind
    if kind in ("text", "flag"):
        return alt.Tooltip(column, type="nominal", title=label)
    if kind in ("date", "moment"):
        return alt.Tooltip(column, type="temporal", title=label, format=FORMATS[kind])
    return alt.Tooltip(column, type="quantitative", title=label, format=FORMATS[kind])


def _short(column: str) -> str:
    """The format of a number in a chart, where cents are in the way."""
    return {"money": "$,.0f", "share": ".1%", "decimal": ",.2f"}.get(COLUMNS[column].kind, ",d")


def _labels(column: str | None = None) -> alt.Axis:
    """An axis of names; those below a chart stand upright where they are words."""
    angle = -90 if column is not None and COLUMNS[column].kind == "text" else 0
    return alt.Axis(
        labelLimit=LABEL_PIXELS, labelAngle=angle, domain=False, ticks=False, labelPadding=6
    )
