"""What Streamlit runs for every view: the frame around a page."""

from pathlib import Path

import streamlit as st

from services.dashboard import links, states
from services.dashboard.pages import PAGES

ICON = Path(__file__).with_name("icon.svg")


def show() -> None:
    """Shows the page that the address names."""
    st.set_page_config(page_icon=ICON, layout="wide")
    st.logo(ICON, size="large")
    pages = {
        page.PATH: st.Page(
            page.show,
            title=page.TITLE,
            icon=page.ICON,
            url_path=page.PATH,
            default=page is PAGES[0],
        )
        for page in PAGES
    }
    links.know(pages)
    # Without groups: Streamlit writes their headings into the list, where no heading may be.
    chosen = st.navigation(list(pages.values()), expanded=True)
    with st.sidebar:
        states.show_key()
    with states.problems_shown():
        chosen.run()


show()
