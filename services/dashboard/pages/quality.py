"""Data quality: which rows came in and count, which tests passed, how old it is, what runs."""

from collections.abc import Sequence
from itertools import groupby

import streamlit as st

from services.dashboard import builds, data, outcomes, states, words
from services.dashboard.client import Service, ServiceError, Trouble
from services.dashboard.data import Row
from services.dashboard.tables import table

TITLE = "Data quality"
ICON = ":material/fact_check:"
PATH = "quality"

SHOP = "/v1/marts/store/store_cleaning_report"
HOUSEHOLDS = "/v1/marts/household/household_cleaning_report"
FAN_CLUB = "/v1/promotions/cleaning-report"
DATASETS = {
    "order_lines": "Shop: lines of orders",
    "coupon_products": "Shop: products of coupons",
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
        with states.problems_shown():
            _show_loads_and_tests(releases)
        _show_rows()
        _show_releases(releases)


def _show_loads_and_tests(releases: Sequence[Row]) -> None:
    found = data.read("/v1/quality")["data"]
    if found:
        st.header("What came in")
        builds.show_loads(found)
        st.header("Tests")
        builds.show_tests(found)
    builds.show_missing(found, releases)


def _show_rows() -> None:
    st.header("Which rows count")
    with states.problems_shown():
        st.subheader("Households: lines of baskets")
        outcomes.show(
            data.rows(HOUSEHOLDS),
            "lines",
            what="Lines of households' baskets that count, or were dropped, by reason",
        )
    _show_datasets(SHOP)
    with states.problems_shown():
        st.subheader("Assignments of vouchers")
        outcomes.show(
            data.rows("/v1/vouchers/cleaning-report"),
            "rows",
            what="Raw assignments of vouchers that were kept, or dropped, by reason",
        )
    _show_datasets(FAN_CLUB)


def _show_datasets(path: str) -> None:
    """The report of a domain that cleans several datasets."""
    with states.problems_shown():
        report = data.rows(path, sort="dataset")
        for dataset, lines in groupby(report, key=lambda row: row["dataset"]):
            name = DATASETS.get(dataset, dataset)
            st.subheader(name)
            outcomes.show(
                list(lines), "lines", what=f"{name}: lines that were kept, or dropped, by reason"
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
