"""The latest decisions on offers, looked for again while there are new ones."""

from collections.abc import Sequence
from time import monotonic
from typing import Any

import streamlit as st

from services.dashboard import data, states, words
from services.dashboard.client import Service, ServiceError, Trouble
from services.dashboard.data import Row
from services.dashboard.tables import table

LATEST = 15
LIVE_SECONDS = 2
# After so long without a new decision, nobody is asked any more until the viewer wants it.
QUIET_SECONDS = 600
IS_LIVE, SEEN = "live offers", "latest decision"


def show() -> bool:
    """The latest decisions; whether the event service answers."""
    st.header("Live offers")
    is_live = st.session_state.setdefault(IS_LIVE, True)
    look = st.fragment(_show_latest, run_every=LIVE_SECONDS if is_live else None)
    return bool(look())


def _show_latest() -> bool:
    try:
        latest = data.ask(Service.EVENTS, "/v1/offers", {"limit": LATEST})["data"]
        shown = _told(latest)
    except ServiceError as error:
        _rest()
        states.show(error)
        if error.trouble is not Trouble.KEY_REFUSED:
            _offer_to_look()
        return False
    if not latest:
        states.empty(
            "No customer was in front of a coupon yet. `pollux demo-store` walks some through the "
            "shop; their offers appear here as they are made."
        )
    else:
        table(
            shown,
            ["when", "customer_id", "department", "offer", "likelihood", "reason"],
            what="The latest decisions on offers, the newest first",
        )
    if _is_quiet(latest):
        _rest()
    if not st.session_state[IS_LIVE]:
        _offer_to_look()
    return True


def _told(latest: Sequence[Row]) -> list[dict[str, Any]]:
    """Decisions in words."""
    offered = sorted({row["coupon_id"] for row in latest if row["coupon_id"] is not None})
    ids = ",".join(map(str, offered))
    coupons = {
        row["coupon_id"]: words.coupon(row)
        for row in (data.rows("/v1/coupons", ids=ids) if offered else ())
    }
    return [
        dict(row)
        | {
            "when": words.age(row["decided_at"]),
            "offer": coupons.get(row["coupon_id"], "nothing"),
            "reason": words.sentence(row["reason"]) if row["reason"] else None,
        }
        for row in latest
    ]


def _is_quiet(latest: Sequence[Row]) -> bool:
    """Whether there was nothing new for long."""
    newest = latest[0]["event_key"] if latest else None
    seen, since = st.session_state.get(SEEN, ("", 0.0))
    if newest != seen:
        st.session_state[SEEN] = (newest, monotonic())
        return False
    return bool(monotonic() - since > QUIET_SECONDS)


def _rest() -> None:
    """Ends the refreshing: the page is drawn without it."""
    if st.session_state[IS_LIVE]:
        st.session_state[IS_LIVE] = False
        st.rerun()


def _offer_to_look() -> None:
    if st.button("Look for new ones", icon=":material/refresh:"):
        st.session_state[IS_LIVE] = True
        st.session_state.pop(SEEN, None)
        st.rerun()
