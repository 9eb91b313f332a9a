"""Ways from one page to another, by addresses that can be sent."""

from collections.abc import Mapping

import streamlit as st
from streamlit.navigation.page import Page

PAGES = "pages"


def know(pages: Mapping[str, Page]) -> None:
    """Remembers the pages of this view by their paths."""
    st.session_state[PAGES] = pages


def go_to(path: str, **query: str | int) -> None:
    """Goes to a page, such as `go_to("household", household=1)`."""
    texts = {name: str(value) for name, value in query.items()}
    st.switch_page(st.session_state[PAGES][path], query_params=texts)
