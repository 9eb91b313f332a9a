"""What a viewer chooses and the page's address keeps, so that it can be sent to a colleague."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

NARROW = 240
WIDE = 320


def choose(label: str, options: Sequence[str], key: str) -> str:
    """One of the options, the first at first; `key` is its name in the address."""
    chosen: str = st.selectbox(label, options, key=key, bind="query-params", width=WIDE)
    return chosen


def number(
    label: str, key: str, *, such_as: int, place: DeltaGenerator | None = None
) -> int | None:
    """The number of something, None until the viewer or the address says one."""
    return (st if place is None else place).number_input(
        label,
        min_value=1,
        value=None,
        step=1,
        key=key,
        bind="query-params",
        placeholder=f"Such as {such_as}",
        width=NARROW,
    )
