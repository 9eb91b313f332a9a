"""The three services checked against their own descriptions: no answer may differ from them."""

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from services.openapi.documents import documents
from tests.services.openapi.support import Urls

if TYPE_CHECKING:
    from tests.services.openapi.fuzz import Report

pytestmark = pytest.mark.integration

DOCUMENTS = documents()
# How many `make endurance` sends at least.
REQUESTS = int(os.environ.get("POLLUX_TEST_REQUESTS", "20000"))
CHECKS = {
    "allow_header_conformance", "content_type_conformance", "ensure_resource_availability",
    "ignored_auth", "missing_required_header", "negative_data_rejection", "not_a_server_error",
    "object_level_authorization", "positive_data_acceptance", "response_headers_conformance",
    "response_schema_conformance", "status_code_conformance", "unsupported_method",
    "use_after_free",
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A failure shows the faults, not what the event service says of thousands of events."""
    caplog.set_level(logging.CRITICAL)


def check(urls: Urls, seed: int, **sizes: dict[str, Any]) -> "dict[str, Report]":
    """The reports by service; nothing in them is wrong.

    Every operation answered what was asked and, if the edges of its schemas were, refused some.
    """
    # Every test process would import schemathesis, for one that runs it.
    from tests.services.openapi.fuzz import fuzz  # noqa: PLC0415

    reports = {
        name: fuzz(DOCUMENTS[name], urls[name], seed=seed, **size) for name, size in sizes.items()
    }
    faults = [fault for report in reports.values() for fault in report.faults]
    assert not faults, f"{len(faults)} faults with seed {seed}:\n\n" + "\n\n".join(faults[:20])
    for name, report in reports.items():
        assert report.checks.keys() == CHECKS
        for path, methods in DOCUMENTS[name]["paths"].items():
            for method, operation in methods.items():
                answered = report.statuses[f"{method.upper()} {path}"]
                assert answered[200], (name, method, path)
                places = {one["in"] for one in operation.get("parameters", [])}
                is_read = "query" in places or "requestBody" in operation
                if sizes[name]["edges"] and is_read:
                    assert answered[422], (name, method, path)
    return reports


def cases(reports: "dict[str, Report]") -> int:
    return sum(report.cases.total() for report in reports.values())


def test_two_thousand_requests_are_answered_as_described(urls: Urls) -> None:
    reports = check(
        urls,
        1,
        api={"examples": 12, "sequences": 45, "edges": False},
        events={"examples": 20, "sequences": 20, "edges": True},
        scoring={"examples": 20, "sequences": 0, "edges": True},
    )
    assert cases(reports) >= 2_000
    assert reports["api"].cases["stateful"] >= 200


@pytest.mark.endurance
def test_many_requests_are_answered_as_described(urls: Urls) -> None:
    reports = check(
        urls,
        2,
        api={"examples": REQUESTS * 9 // 1000, "sequences": REQUESTS * 11 // 400, "edges": True},
        events={"examples": REQUESTS // 50, "sequences": 20, "edges": True},
        scoring={"examples": REQUESTS * 3 // 200, "sequences": 0, "edges": True},
    )
    assert cases(reports) >= REQUESTS
    assert reports["api"].cases["stateful"] >= REQUESTS // 10
