"""No route of any service takes a parameter that it does not know, or one value twice."""

import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from pollux.runtime.settings import Settings
from services.common.copying import with_values
from services.common.formats import Format, format_of
from services.common.values import readings, split
from services.openapi.documents import apps, documents
from tests.support import asgi

SETTINGS = Settings(
    database_url="postgresql://nobody@127.0.0.1:1/nothing", api_keys="", scoring_url=None
)
APPS = apps(SETTINGS)
# Its parameters are those of a release: test_marts.
OF_RELEASE = "/v1/marts/{domain}/{mart}"
OPERATIONS = [
    (service, method.upper(), path, operation)
    for service, document in documents().items()
    for path, operations in document["paths"].items()
    for method, operation in operations.items()
    if path != OF_RELEASE
]
EVERY_OPERATION = pytest.mark.parametrize(
    ("service", "method", "path", "operation"),
    OPERATIONS,
    ids=[f"{service} {method} {path}" for service, method, path, _ in OPERATIONS],
)


def ask(service: str, method: str, path: str, query: str) -> httpx.Response:
    return asgi.ask(APPS[service], method, f"{re.sub('{.*?}', '1', path)}?{query}")


def queried(operation: dict[str, Any]) -> dict[str, bool]:
    """The parameters of an operation's query, and whether each takes several values."""
    return {
        one["name"]: "array" in str(one["schema"]) or one["name"] == "text"
        for one in operation.get("parameters", [])
        if one["in"] == "query"
    }


@EVERY_OPERATION
def test_an_unknown_parameter_is_told_the_known_ones(
    service: str, method: str, path: str, operation: dict[str, Any]
) -> None:
    answer = ask(service, method, path, "colour=red")
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    known = list(queried(operation)) or ["none"]
    *others, last = known
    takes = f"{', '.join(others)} and {last}" if others else last
    assert error == {
        "in": "query",
        "name": "colour",
        "detail": f"Not a parameter of this path, which takes {takes}",
    }


@EVERY_OPERATION
def test_one_value_is_not_given_twice(
    service: str, method: str, path: str, operation: dict[str, Any]
) -> None:
    for name, takes_several in queried(operation).items():
        if takes_several:
            continue
        answer = ask(service, method, path, f"{name}=1&{name}=1&{name}=2")
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"] == [
            {"in": "query", "name": name, "detail": "Given 3 times; it takes one value"}
        ]


def test_a_parameter_without_a_value_is_one_too() -> None:
    for query in ("colour", "colour=", "&colour&", "limit=1&colour"):
        answer = ask("api", "GET", "/v1/coupons", query)
        assert [error["name"] for error in answer.json()["errors"]] == ["colour"]


def test_of_a_long_name_the_beginning_is_told() -> None:
    answer = ask("api", "GET", "/healthz", "x" * 5000)
    assert answer.json()["errors"][0]["name"] == "x" * 100


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a", ["a"]), ("a,b", ["a,b", "a", "b"]), ('"a,b",c', ['"a,b",c', "a,b", "c"]),
        ('"a,b"', ["a,b"]), ('a "b", c', ['a "b", c', 'a "b"', "c"]), ("a,\nb", ["a,\nb"]),
        ('"a,', ["a,"]), ('"a"', ['"a"']), (",", [",", "", ""]),
    ],
)  # fmt: skip
def test_names_are_read_as_a_whole_and_by_their_commas(value: str, parts: list[str]) -> None:
    assert readings(value) == parts


def test_codes_are_split_wherever_they_are_given() -> None:
    assert split(["1,2", "3"]) == ["1", "2", "3"]
    assert split("1,,2") == ["1", "", "2"]
    assert split(7) == [7]
    assert split(None) is None


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0")), number=st.integers())
def test_values_stand_in_a_query_as_they_are(text: str, number: int) -> None:
    written = with_values("a = $1::text and b = any($2::text[]) and $1", [text, [text, number]])
    one, several = (sql.Literal(value).as_string() for value in (text, [text, str(number)]))
    assert written == f"a = {one}::text and b = any({several}::text[]) and {one}"


@given(accept=st.binary(max_size=40))
def test_any_accept_header_means_a_format(accept: bytes) -> None:
    assert isinstance(format_of({"headers": [(b"accept", accept)]}), Format)
