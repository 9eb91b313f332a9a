"""Data quality: what is served and how old it is, which rows count, which services run."""

from collections.abc import Sequence
from itertools import groupby

import streamlit as st

from services.dashboard import data, outcomes, states, words
from services.dashboard.client import Service, ServiceError, Trouble
from services.dashboard.data import Row
from services.dashboard.tables import table

TITLE = "Data quality"
ICON = ":material/fact_check:"
PATH = "quality"

DATASETS = {
    "conversions": "Fan club: clicks, baskets and purchases",
    "loyalty_list": "Fan club: lists of members",
}


def show() -> None:
    """What the figures on the other pages rest on."""
    st.title(TITLE)
    for part in (_show_released, _show_runs, _show_services):
        with states.closed_parts_shown():
            part()


def _show_released() -> None:
    releases = data.fresh("/v1/releases")["data"]
    if not releases:
        states.empty("Nothing is released yet. `pollux up` does that with made-up data.")
    else:
        _show_rows()
        _show_releases(releases)


def _show_rows() -> None:
    st.header("Which rows count")
    with states.problems_shown():
        st.subheader("Assignments of vouchers")
        outcomes.show(
            data.rows("/v1/vouchers/cleaning-report"),
            "rows",
            what="Raw assignments of vouchers that were kept, or dropped, by reason",
        )
    with states.problems_shown():
        report = data.rows("/v1/promotions/cleaning-report", sort="dataset")
        for dataset, lines in groupby(report, key=lambda row: row["dataset"]):
            name = DATASETS.get(dataset, dataset)
            st.subheader(name)
            outcomes.show(
                list(lines), "lines", what=f"{name}: lines that were kept, or dropped, by reason"
            )
    st.caption(
        "Purchases of households and of the shop have no such report: each build checks that every "
        "line counts or has a reason not to, and a build that fails is not released."
    )


def _show_releases(releases: Sequence[Row]) -> None:
    st.header("What is served")
    table(
        [
            dict(row)
            | {
                "domain": words.DOMAINS.get(row["domain"], row["domain"]),
                "released_ago": words.age(row["released_at"]) if row["released_at"] else "",
            }
            for row in releases
        ],
        ["domain", "number", "released_at", "released_ago"],
        what="The current release of each domain",
    )
    with st.expander("Tables in them"), states.closed_parts_shown():
        marts = data.read("/v1/marts")["data"]
        table(
            [
                dict(row)
                | {
                    "domain": words.DOMAINS.get(row["domain"], row["domain"]),
                    "description": " ".join(row["description"].split()),
                }
                for row in marts
            ],
            ["domain", "mart", "description"],
            what="Every released table, and what is in it",
        )


def _show_runs() -> None:
    st.header("Runs that failed")
    alerts = data.fresh("/v1/alerts")["data"]
    if not alerts:
        st.success("No run of the pipelines has failed.", icon=":material/check_circle:")
        return
    table(alerts, ["at", "text"], what="Runs of the pipelines that failed, the latest first")


def _show_services() -> None:
    st.header("Services")
    table(
        [{"service": _name(service), "state": _state(service)} for service in Service],
        ["service", "state"],
        what="Whether each service can answer",
    )


def _name(service: Service) -> str:
    return service.value[:1].upper() + service.value[1:]


def _state(service: Service) -> str:
    """Ready, or what a service says that it lacks."""
    try:
        data.ask(service, "/readyz")
    except ServiceError as error:
        if error.trouble is Trouble.AWAY:
            return f"Nothing answers on {data.client().urls[service]}"
        return f"{error.trouble.value.capitalize()}: {error.detail}"
    return "Ready"
