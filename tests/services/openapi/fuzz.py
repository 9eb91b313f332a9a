"""Requests that schemathesis makes from an OpenAPI document, sent to a running service.

All of its checks and phases: examples, the edges of every schema, requests at random, and
sequences of requests in which ids of one answer are asked for in the next (stateful).
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from http import HTTPStatus
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.engine import Status, events, from_schema
from schemathesis.openapi.checks import RejectedPositiveData

from tests.services.openapi.purposes import (
    Json,
    is_accepted_on_purpose,
    is_as_described,
    is_refused_on_purpose,
)
from tests.services.openapi.support import KEY

SHOWN = 500
FIRST, LAST = datetime(1000, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# OpenAPI has no bounds for days and times; the services take those of the years 1000 to 9999.
schemathesis.openapi.format("date", st.dates(date(1000, 1, 1)).map(str))
schemathesis.openapi.format(
    "date-time",
    st.datetimes(FIRST, LAST, timezones=st.just(UTC) | OFFSETS).map(datetime.isoformat),
)


@dataclass
class Report:
    """What was sent, what was answered, and what was wrong with it, a text for each fault."""

    cases: Counter[str] = field(default_factory=Counter)
    statuses: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    checks: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def fuzz(
    document: Json, url: str, *, examples: int, sequences: int, edges: bool, seed: int
) -> Report:
    """Sends what the document allows and what it does not.

    `examples` are at random, for each operation; `sequences` of requests are tried. Without
    `edges`, those of every schema are left out: they would be the most of all requests.
    """
    stateful = {"enabled": sequences > 0, "generation": {"max-examples": max(sequences, 1)}}
    config = SchemathesisConfig.from_dict(
        {
            "base-url": url,
            "seed": seed,
            "continue-on-failure": True,
            "headers": {"Authorization": f"Bearer {KEY}"},
            "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
            "phases": {"coverage": {"enabled": edges}, "stateful": stateful},
            "suppress-health-check": ["all"],
        }
    )
    schema = schemathesis.openapi.from_dict(copy.deepcopy(dict(document)), config=config)

    @schema.hook
    def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
        if isinstance(failure, RejectedPositiveData):
            is_purpose = response.status_code == 422 and is_refused_on_purpose(response.json())
            return is_as_described(case, document) and not is_purpose
        if isinstance(failure, AcceptedNegativeData):
            is_too_long = response.status_code == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return not is_too_long and not is_accepted_on_purpose(case, document)
        return True

    report = Report()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _add(report, event)
        elif isinstance(event, events.NonFatalError):
            report.faults.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return report


def _add(report: Report, event: events.ScenarioFinished) -> None:
    recorder = event.recorder
    report.cases[event.phase.value] += len(recorder.cases)
    for case_id, sent in recorder.interactions.items():
        if sent.response is not None:
            label = recorder.cases[case_id].value.operation.label
            report.statuses[label][sent.response.status_code] += 1
    for case_id, checks in recorder.checks.items():
        report.checks.update(check.name for check in checks)
        report.faults += _faults(recorder, case_id)


def _faults(recorder: Any, case_id: str) -> Iterator[str]:
    for check in recorder.checks[case_id]:
        if check.status is not Status.SUCCESS:
            failure = check.failure_info and check.failure_info.failure
            one = recorder.interactions[(failure and failure.case_id) or case_id]
            status = one.response and one.response.status_code
            lines = [
                f"{check.name}: {one.request.method} {one.request.uri}",
                f"  sent: {_text(one.request.body)}",
                f"  answered: {status} {_text(one.response and one.response.content)}",
                f"  {failure.message if failure else 'the check failed'}",
            ]
            yield "\n".join(line[:SHOWN] for line in lines)


def _text(body: bytes | None) -> str:
    return "nothing" if body is None else body.decode(errors="replace")
