"""What customers buy right now, and whom it moved to another segment, looked for all the time."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import altair as alt
import streamlit as st

from services.dashboard import charts, data, links, states, words
from services.dashboard.client import Service, ServiceError, Trouble
from services.dashboard.data import Row
from services.dashboard.tables import table

LIVE_SECONDS = 2
# Longer than it takes to compute a purchase.
LATE_SECONDS = 5
MOST_CHANGES = 12
CHART_HEIGHT = 260
# What purchases of a domain are.
PURCHASES = {"household": "Baskets", "store": "Shop orders"}
CAUSES = {"purchase": "its purchase", "day": "a later day", "release": "a release"}
CHOSEN = "household that changed"


def show() -> None:
    """Purchases of the last hour, how far answers are behind, and changes of segments."""
    st.fragment(_show, run_every=LIVE_SECONDS)()


def _show() -> None:
    st.header("Right now")
    # Both ask the same service: what is wrong is said once.
    with states.problems_shown():
        _show_purchases()
        _show_changes()


def _show_purchases() -> None:
    found = data.fresh("/v1/purchases", service=Service.EVENTS)
    _show_figures(found)
    _show_delay(found)
    minutes = [
        dict(minute) | {"kind": PURCHASES[of["domain"]]}
        for of in found["data"]
        for minute in of["minutes"]
    ]
    if not minutes:
        states.empty(
            "Nothing was bought during the last hour. Tills send purchases to `POST /v1/purchases` "
            "of the event service, or to the topic `pollux/purchase`; they appear here at once."
        )
        return
    charts.show(_bars(minutes, found), what="Purchases by the minute")


def _show_figures(found: Row) -> None:
    lately = found["data"]
    customers = _live_customers()
    columns = iter(st.columns(len(lately) + 2))
    for of in lately:
        value = sum(minute["value"] for minute in of["minutes"])
        next(columns).metric(
            f"{PURCHASES[of['domain']]}, last {_counted(found['at'], of['since'])}",
            words.number(sum(minute["purchases"] for minute in of["minutes"])),
            delta=words.whole_money(value),
            delta_color="off",
            delta_arrow="off",
            help="By when they were received; one that replaces another counts again.",
            border=True,
        )
    next(columns).metric(
        "Households ahead",
        "?" if customers is None else words.number(customers["household"]),
        delta=_others(customers),
        delta_color="off",
        delta_arrow="off",
        help="Those who bought since the release. Their own pages know of it; lists of all and "
        "totals do with the next build.",
        border=True,
    )
    waits = _waits(found)
    is_late = waits >= LATE_SECONDS
    next(columns).metric(
        "Live answers",
        ("Late" if is_late else "Up to date") if found["is_computed"] else "Stopped",
        delta=f"{words.duration(waits)} behind" if waits >= 1 else "Nothing waits",
        delta_color="off",
        delta_arrow="off",
        help="How long the first purchase has waited that its customer's page does not have yet.",
        border=True,
    )


def _counted(at: str, since: str) -> str:
    """For how long purchases are counted: fewer minutes than an hour where there are so many."""
    seconds = (datetime.fromisoformat(at) - datetime.fromisoformat(since)).total_seconds()
    return "hour" if seconds >= words.HOUR else words.duration(seconds)


def _live_customers() -> dict[str, int] | None:
    """Customers with live rows by domain; None where the viewer's key does not open that."""
    try:
        found = data.fresh("/v1/live")["data"]
    except ServiceError as error:
        if error.trouble is Trouble.SCOPE_MISSING:
            return None
        raise
    return {row["domain"]: row["customers"] for row in found}


def _others(customers: Mapping[str, int] | None) -> str:
    if customers is None:
        return "Needs the scope metrics"
    count = customers["store"]
    return f"and {words.number(count)} shop customer{'' if count == 1 else 's'}"


def _waits(found: Row) -> float:
    return max(of["waiting_seconds"] or 0.0 for of in found["data"])


def _show_delay(found: Row) -> None:
    waiting = sum(of["waiting"] or 0 for of in found["data"])
    wait = f"{words.number(waiting)} purchase{' waits' if waiting == 1 else 's wait'}"
    if not found["is_computed"] and _waits(found):
        states.problem(
            "Live answers have stopped",
            f"No process computes them, and {wait}. Start one with `pollux up` or `pollux serve "
            "live`: until then customers' pages stay as they are.",
        )
    elif _waits(found) >= LATE_SECONDS:
        states.problem(
            "Live answers are late",
            f"{wait}, the first for {words.duration(_waits(found))}. If that only grows, the log "
            "of `pollux serve live` says why.",
        )
    silent = [
        PURCHASES[of["domain"]] for of in found["data"] if of["waiting"] is None and of["minutes"]
    ]
    if silent:
        states.empty(
            f"{' and '.join(silent)} count with the next build: there is no release that can be "
            "answered live."
        )


def _bars(minutes: Sequence[Row], found: Row) -> alt.Chart:
    """A bar for each minute from the first that is counted to the present one."""
    kinds = [kind for kind in PURCHASES.values() if any(one["kind"] == kind for one in minutes)]
    shown = ["minute", "kind", "purchases", "value"]
    ends = [
        {"minute": at[:16] + ":00Z", "kind": kinds[0], "purchases": 0, "value": 0.0}
        for at in (min(of["since"] for of in found["data"]), found["at"])
    ]
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=kinds, range=charts.KINDS[: len(kinds)]),
        legend=alt.Legend(orient="bottom") if len(kinds) > 1 else None,
    )
    chart: alt.Chart = (
        alt.Chart(charts.frame([*minutes, *ends], shown))
        .mark_bar()
        .encode(
            x=alt.X(
                "yearmonthdatehoursminutes(minute):T",
                title=None,
                axis=alt.Axis(format="%H:%M", labelOverlap="greedy", labelFlush=True, tickCount=6),
            ),
            y=charts.amounts("purchases"),
            color=colour,
            tooltip=charts.tooltips(shown),
        )
        .properties(height=CHART_HEIGHT)
    )
    return chart


def _show_changes() -> None:
    st.header("Segments that changed")
    changes = data.fresh("/v1/segment-changes", service=Service.EVENTS, limit=MOST_CHANGES)["data"]
    if not changes:
        states.empty("No purchase has moved a household to another segment yet.")
        return
    table(
        [
            dict(row)
            | {
                "from_segment": words.segment(row["from_segment"] or "none"),
                "to_segment": words.segment(row["to_segment"] or "none"),
                "cause": CAUSES[row["cause"]],
                "when": words.age(row["at"]),
            }
            for row in changes
        ],
        ["when", "household_key", "from_segment", "to_segment", "cause", "event_key"],
        what="Households whose segment changed, the latest first",
        key="changes",
        sets={CHOSEN: "household_key"},
    )
    # Not by its place in the table: another may have come there since it was drawn.
    if (household := st.session_state.pop(CHOSEN, None)) is not None:
        links.go_to("household", household=household)
