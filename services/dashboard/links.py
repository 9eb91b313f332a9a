"""Ways from one page to another, by addresses that can be sent."""

import streamlit as st


def go_to(path: str, **query: str | int) -> None:
    """Goes to a page, such as `go_to("household", household=1)`."""
    texts = {name: str(value) for name, value in query.items()}
    st.switch_page(st.session_state["pages"][path], query_params=texts)
