"""What a viewer sees where there are no data: what is wrong, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from services.dashboard import data
from services.dashboard.client import ServiceError, Trouble

SERVE = {"API": "api", "event service": "events", "scorer": "scoring"}


@contextmanager
def problems_shown() -> Iterator[None]:
    """Shows what is wrong in place of what the block could not show."""
    try:
        yield
    except ServiceError as error:
        show(error)


@contextmanager
def closed_parts_shown() -> Iterator[None]:
    """The same where the viewer's key does not open the block; other problems end the page."""
    try:
        yield
    except ServiceError as error:
        if error.trouble is not Trouble.SCOPE_MISSING:
            raise
        show(error)


def show(error: ServiceError) -> None:
    """Says what is wrong, and what to do."""
    name = error.service.value
    match error.trouble:
        case Trouble.AWAY:
            url = data.client().urls[error.service]
            problem(
                f"The {name} does not answer",
                f"Nothing answers on {url}. Start it with `pollux up` or `pollux serve "
                f"{SERVE[name]}`; this page works again as soon as it runs.",
            )
        case Trouble.NOTHING_RELEASED:
            problem(
                "Nothing is released yet",
                f"{error.detail} `pollux up` does that with made-up data.",
            )
        case Trouble.NOT_READY | Trouble.ENDING:
            problem(f"The {name} is not ready", f"{error.detail} Try again in a moment.")
        case Trouble.NOT_FOUND:
            empty(error.detail)
        case Trouble.KEY_REFUSED:
            ask_for_key(error)
        case Trouble.SCOPE_MISSING:
            empty(
                f"**Your key does not open this.** {error.detail} Forget it to type another one; "
                "`pollux keys add` makes them."
            )
        case Trouble.REFUSED:
            problem(f"The {name} cannot take this", error.detail)
        case Trouble.FAILED:
            problem(
                f"The {name} failed", f"{error.detail} Its log is in the folder logs of the data."
            )


def problem(title: str, what_to_do: str) -> None:
    """Something is wrong."""
    st.error(f"**{title}**  \n{what_to_do}", icon=":material/error:")


def empty(text: str) -> None:
    """There is nothing to show, and nothing is wrong."""
    st.info(text, icon=":material/info:")


def ask_for_key(error: ServiceError) -> None:
    """A form for a key, which stays in this session only."""
    if data.key() is not None:
        problem(f"The {error.service.value} refuses this key", "Type another one.")
    with st.form(f"key for the {error.service.value}", width=480):
        st.markdown(
            f"**The {error.service.value} wants a key.** It is kept until this page is closed or "
            "loaded anew, and sent to the services of this installation only."
        )
        typed = st.text_input("Key", type="password", autocomplete="off")
        if st.form_submit_button("Use this key") and typed.strip():
            st.session_state[data.KEY] = typed.strip()
            st.rerun()


def show_key() -> None:
    """Says that a key is in use, and lets the viewer forget it."""
    if data.key() is not None and st.button("Forget the key", icon=":material/key_off:"):
        del st.session_state[data.KEY]
        st.rerun()
