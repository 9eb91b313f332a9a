"""What was loaded and rejected, and which tests passed, as the page of data quality shows it."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from services.dashboard import states, words
from services.dashboard.data import Row
from services.dashboard.tables import table

STATUSES = ("passed", "warned", "failed")
RULES = {
    "accepted_range": "Within its bounds",
    "accepted_values": "One of the known values",
    "finite": "A finite number",
    "not_null": "Never blank",
    "relationships": "Known in the table that it refers to",
    "unique": "No value twice",
    "unique_combination": "No row twice",
}


def show_loads(found: Sequence[Row]) -> None:
    """Rows that came in and landed by dataset, and those rejected by reason."""
    loads = [
        dict(one) | {"domain": _domain(release), "dataset": words.dataset(one["dataset"])}
        for release in found
        for one in release["datasets"]
    ]
    table(
        loads,
        [
            *("domain", "dataset", "rows_read", "rows_landed", "rows_rejected"),
            *("loaded_at", "is_sample"),
        ],
        what="Rows of the loaded files by dataset: read, landed, rejected",
    )
    rejects = [
        dict(reject)
        | {
            "domain": one["domain"],
            "dataset": one["dataset"],
            "column": words.column(reject["column"]) if reject["column"] else "The whole row",
            "reason": words.sentence(reject["reason"]),
        }
        for one in loads
        for reject in one["rejects"]
    ]
    if not rejects:
        st.success("No row of these files was rejected.", icon=":material/check_circle:")
        return
    st.subheader("Rejected rows")
    table(
        rejects,
        ["domain", "dataset", "column", "reason", "rows"],
        what="Rejected rows by dataset, column and reason",
    )
    st.caption(
        "The rows themselves, with file and line, are in the folder rejects of the data; they are "
        "not served."
    )


def show_tests(found: Sequence[Row]) -> None:
    """How many tests passed by domain, which did not, and all of them."""
    table(
        [
            {"domain": _domain(release), "built_at": release["built_at"]}
            | dict.fromkeys(STATUSES, 0)
            | Counter(test["status"] for test in release["tests"])
            for release in found
        ],
        ["domain", *STATUSES, "built_at"],
        what="Tests of each domain's build: passed, warned, failed",
    )
    tests = [
        {
            "domain": _domain(release),
            "rule": words.sentence(test["description"]) if test["description"] else _rule(test),
            "model": test["model"],
            "column": words.column(test["column"]) if test["column"] else "",
            "status": test["status"].capitalize(),
            "rows": test["rows"],
        }
        for release in found
        for test in release["tests"]
    ]
    told = [test for test in tests if test["status"] != STATUSES[0].capitalize()]
    if told:
        st.subheader("Tests that warned or failed")
        table(told, ["domain", "rule", "status", "rows"], what="Tests that warned or failed")
        st.caption("A warning lets a release pass: the rows that it counts are left out.")
    else:
        st.success("Every test passed.", icon=":material/check_circle:")
    with st.expander("All tests"):
        table(
            tests,
            ["domain", "model", "column", "rule", "status"],
            what="Every test, and what came of it",
        )
    st.caption(
        "A build with a failed test is not released, and the release before it stays served: these "
        "are the tests of the builds that are served."
    )


def show_missing(found: Sequence[Row], releases: Sequence[Row]) -> None:
    """Says which releases are older than the record of their quality."""
    known = {release["domain"] for release in found}
    old = [_domain(release) for release in releases if release["domain"] not in known]
    if old:
        states.empty(
            f"Released by an earlier version, without a record of loads and tests: "
            f"{', '.join(old)}. `pollux build` makes a release that has one."
        )


def _domain(release: Row) -> str:
    domain: str = release["domain"]
    return words.DOMAINS.get(domain, domain)


def _rule(test: Row) -> str:
    """A test without a description in words: by its kind, else by its name."""
    return RULES.get(test["kind"] or "") or words.sentence(test["name"].replace("_", " "))
