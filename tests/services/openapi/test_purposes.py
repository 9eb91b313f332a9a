"""Only what the services do on purpose is excused."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.services.openapi.purposes import (
    is_accepted_on_purpose,
    is_as_described,
    is_refused_on_purpose,
)

DOCUMENT = {
    "paths": {
        "/things/{thing_id}": {
            "post": {
                "parameters": [
                    {"in": "path", "name": "thing_id", "schema": {"type": "integer"}},
                    {
                        "in": "query", "name": "ids",
                        "schema": {"type": "array", "items": {"type": "integer", "maximum": 9}},
                    },
                ],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Body"}}
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Body": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 5},
                    "is_new": {"type": "boolean"},
                    "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
                    "share": {"type": "number", "minimum": 0},
                },
            }
        }
    },
}  # fmt: skip


def case(**changes: Any) -> SimpleNamespace:
    given = {"path_parameters": {"thing_id": 7}, "query": {}, "body": {"name": "x"}} | changes
    return SimpleNamespace(path="/things/{thing_id}", method="POST", **given)


@pytest.mark.parametrize(
    "changes",
    [
        {"path_parameters": {"thing_id": "%207"}},
        {"query": {"ids": "1,2"}},
        {"query": {"ids": ["1", "2"]}},
        {"body": {"name": 7}},
        {"body": {"name": "  x          "}},
        {"body": {"name": "x", "is_new": "yes"}},
        {"body": {"name": "x", "at": "2024-01-05 10:00"}},
        {"body": {"name": "x", "at": " "}},
        {"body": {"name": "x", "share": "0.5"}},
    ],
)
def test_spellings_of_the_table_are_taken(changes: dict[str, Any]) -> None:
    assert is_accepted_on_purpose(case(**changes), DOCUMENT)


def test_a_request_is_as_described_without_any_leniency() -> None:
    assert is_as_described(case(query={"ids": [1, 2]}), DOCUMENT)
    assert not is_as_described(case(body={"name": 7}), DOCUMENT)
    assert not is_as_described(case(query={"colour": "red"}), DOCUMENT)


@pytest.mark.parametrize(
    "changes",
    [
        {"path_parameters": {"thing_id": "seven"}},
        {"query": {"ids": "1,x"}},
        {"query": {"ids": "1,10"}},
        {"query": {"colour": "red"}},
        {"body": {}},
        {"body": {"name": "longer"}},
        {"body": {"name": None}},
        {"body": {"name": ["x"]}},
        {"body": {"name": "x", "other": 1}},
        {"body": {"name": "x", "is_new": "perhaps"}},
        {"body": {"name": "x", "at": "then"}},
        {"body": {"name": "x", "at": False}},
        {"body": {"name": "x", "share": "-1"}},
        {"body": [{"name": "x"}]},
    ],
)
def test_nothing_else_is_taken(changes: dict[str, Any]) -> None:
    assert not is_accepted_on_purpose(case(**changes), DOCUMENT)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (["No segment is called 'x'; there are: Lost, New."], True),
        (["Value error, An event_id is not blank", "before the year 1000"], True),
        (["before the year 1000", "Field required"], False),
        (["Input should be less than or equal to 1000"], False),
        ([], False),
    ],
)
def test_a_refusal_is_for_known_reasons_only(details: list[str], expected: bool) -> None:
    errors = [{"in": "body", "name": "at", "detail": detail} for detail in details]
    assert is_refused_on_purpose({"errors": errors}) is expected


def test_another_problem_is_no_excuse() -> None:
    assert not is_refused_on_purpose({"type": "urn:pollux:problem:not-json"})
