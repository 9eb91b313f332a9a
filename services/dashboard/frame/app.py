"""What Streamlit runs for every view: the frame around a page."""

from pathlib import Path

import streamlit as st

from services.dashboard import states
from services.dashboard.pages import GROUPS, HOME

ICON = Path(__file__).with_name("icon.svg")


def show() -> None:
    """Shows the page that the address names."""
    st.set_page_config(page_icon=ICON, layout="wide")
    st.logo(ICON, size="large")
    found = {
        group: [
            st.Page(
                page.show,
                title=page.TITLE,
                icon=page.ICON,
                url_path=page.PATH,
                default=page is HOME,
            )
            for page in pages
        ]
        for group, pages in GROUPS.items()
    }
    page = st.navigation(found, expanded=True)
    st.session_state["pages"] = {one.url_path: one for pages in found.values() for one in pages}
    with st.sidebar:
        states.show_key()
    with states.problems_shown():
        page.run()


show()
