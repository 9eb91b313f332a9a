"""Tables: columns in words, values as what they are, and the whole list as CSV."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pandas as pd
import streamlit as st

from services.dashboard import data
from services.dashboard.words import COLUMNS, Column

FORMATS = {"money": "dollar", "share": "%.1f%%", "decimal": "%.2f", "number": "%d"}

# Up to so many rows a table is shown whole; one of more scrolls.
SHORT = 12


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    what: str,
    key: str | None = None,
    sets: Mapping[str, str] | None = None,
) -> Mapping[str, Any] | None:
    """Shows these columns of rows; with a `key`, returns the row that the viewer chooses.

    `what` says to a screen reader what is in it. `sets` names widgets of the same page, which stand
    below, and the columns of the chosen row that they are set to.
    """
    frame = pd.DataFrame(list(rows), columns=list(columns))
    for name in columns:
        frame[name] = _shown(frame[name], COLUMNS[name])
    look = {name: _look(COLUMNS[name]) for name in columns}
    height: Literal["content", "auto"] = "content" if len(rows) <= SHORT else "auto"
    if key is None:
        st.dataframe(
            frame, column_config=look, hide_index=True, height=height, placeholder="", alt=what
        )
        return None
    chosen = st.dataframe(
        frame,
        column_config=look,
        hide_index=True,
        height=height,
        placeholder="",
        alt=what,
        key=key,
        on_select=partial(_set, key, rows, sets) if sets else "rerun",
        selection_mode="single-row",
    )
    places = chosen.selection.rows
    return rows[places[0]] if places else None


def _set(key: str, rows: Sequence[Mapping[str, Any]], sets: Mapping[str, str]) -> None:
    for place in st.session_state[key].selection.rows:
        st.session_state.update({name: rows[place][column] for name, column in sets.items()})


def csv_button(name: str, path: str, **parameters: str | float | bool) -> None:
    """A button that saves the whole list of a route, as the API writes it."""
    st.download_button(
        "Whole list as CSV",
        data=data.csv(path, **parameters),
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _shown(values: Any, column: Column) -> Any:  # noqa: ANN401 - a pandas series
    match column.kind:
        case "date" | "moment":
            return pd.to_datetime(values)
        case "share":
            return values * 100
        case "text":
            return values.fillna("")
        case _:
            return values


def _look(column: Column) -> Any:  # noqa: ANN401 - Streamlit's own
    match column.kind:
        case "date":
            return st.column_config.DateColumn(column.label, format="D MMM YYYY")
        case "moment":
            return st.column_config.DatetimeColumn(column.label, format="D MMM YYYY, HH:mm")
        case "flag":
            return st.column_config.CheckboxColumn(column.label)
        case "text":
            return st.column_config.TextColumn(column.label, width=column.width)
        case kind:
            return st.column_config.NumberColumn(column.label, format=FORMATS[kind])
