"""What breaks a client: each kind of change has its line, and additions have none."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from services.openapi.changes import breaking_changes

Document = dict[str, Any]


def parameter(name: str, schema: Document, *, required: bool = False) -> Document:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def json_of(model: str) -> Document:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}


def document() -> Document:
    member = {
        "type": "object",
        "required": ["email", "age", "kind"],
        "properties": {
            "email": {"type": "string"},
            "age": {"type": "integer"},
            "kind": {"type": "string", "enum": ["new", "old"]},
            "joined": {"type": "string", "format": "date"},
        },
    }
    body = {
        "type": "object",
        "additionalProperties": False,
        "required": ["email"],
        "properties": {"email": {"type": "string", "maxLength": 200}, "age": {"type": "integer"}},
    }
    answer = {
        "headers": {"ETag": {}},
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["data"],
                    "properties": {
                        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Member"}}
                    },
                }
            }
        },
    }
    return {
        "paths": {
            "/members": {
                "get": {
                    "operationId": "list_members",
                    "parameters": [
                        parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}),
                        parameter("sort", {"type": "string", "enum": ["email", "age"]}),
                    ],
                    "responses": {"200": answer},
                },
                "post": {
                    "operationId": "add_member",
                    "requestBody": {
                        "required": True,
                        "content": json_of("NewMember"),
                    },
                    "responses": {"200": {"content": json_of("Member")}},
                },
            }
        },
        "components": {"schemas": {"Member": member, "NewMember": body}},
    }  # fmt: skip


def member(document: Document) -> Document:
    return document["components"]["schemas"]["Member"]


def body(document: Document) -> Document:
    return document["components"]["schemas"]["NewMember"]


def listing(document: Document) -> Document:
    return document["paths"]["/members"]["get"]


BREAKING: dict[str, Callable[[Document], Any]] = {
    "GET /members is gone": lambda new: new["paths"]["/members"].pop("get"),
    "POST /members is gone": lambda new: new["paths"].pop("/members"),
    "GET /members was called list_members and is called members": lambda new: listing(new).update(
        operationId="members"
    ),
    "GET /members: parameter sort is gone": lambda new: listing(new)["parameters"].pop(),
    "GET /members: parameter shop is now required": lambda new: listing(new)["parameters"].append(
        parameter("shop", {"type": "string"}, required=True)
    ),
    "GET /members: parameter limit is now required": lambda new: listing(new)["parameters"][
        0
    ].update(required=True),
    "GET /members: parameter limit: maximum was 1000 and is 100": lambda new: listing(new)[
        "parameters"
    ][0]["schema"].update(maximum=100),
    "GET /members: parameter limit: minimum was 1 and is 5": lambda new: listing(new)["parameters"][
        0
    ]["schema"].update(minimum=5),
    "GET /members: parameter sort may no longer be age": lambda new: listing(new)["parameters"][1][
        "schema"
    ].update(enum=["email"]),
    "GET /members: parameter limit may no longer be integer (otherwise string)": (
        lambda new: listing(new)["parameters"][0].update(schema={"type": "string"})
    ),
    "GET /members: 200 no longer answers application/json": (
        lambda new: listing(new)["responses"]["200"]["content"].pop("application/json")
    ),
    "GET /members: 200 has no header ETag any more": (
        lambda new: listing(new)["responses"]["200"]["headers"].clear()
    ),
    "POST /members: a body of application/json is no longer taken": (
        lambda new: new["paths"]["/members"]["post"]["requestBody"]["content"].clear()
    ),
    "POST /members: body: shop is now required": lambda new: body(new)["required"].append("shop"),
    "POST /members: body may no longer hold age": lambda new: body(new)["properties"].pop("age"),
    "POST /members: body.email: maxLength was 200 and is 100": lambda new: body(new)["properties"][
        "email"
    ].update(maxLength=100),
    "GET /members: answer.data[] has no age any more": lambda new: member(new)["properties"].pop(
        "age"
    ),
    "GET /members: answer.data[]: age may now be absent": lambda new: member(new).update(
        required=["email", "kind"]
    ),
    "GET /members: answer.data[].kind may now be lost": lambda new: member(new)["properties"][
        "kind"
    ].update(enum=["new", "old", "lost"]),
    "GET /members: answer.data[].age may now be null (otherwise integer)": (
        lambda new: member(new)["properties"].update(
            age={"anyOf": [{"type": "integer"}, {"type": "null"}]}
        )
    ),
    "GET /members: answer.data[].age may now be number (otherwise integer)": (
        lambda new: member(new)["properties"].update(age={"type": "number"})
    ),
    "GET /members: answer.data[].joined was date and is any text": (
        lambda new: member(new)["properties"].update(joined={"type": "string"})
    ),
}

HARMLESS: dict[str, Callable[[Document], Any]] = {
    "nothing": lambda new: new,
    "a path": lambda new: new["paths"].update({"/shops": new["paths"]["/members"]}),
    "an optional parameter": lambda new: listing(new)["parameters"].append(
        parameter("shop", {"type": "string"})
    ),
    "a wider parameter": lambda new: listing(new)["parameters"][0]["schema"].update(maximum=2000),
    "one more value of a parameter": lambda new: listing(new)["parameters"][1]["schema"][
        "enum"
    ].append("-age"),
    "a number where an integer was taken": lambda new: body(new)["properties"].update(
        age={"type": "number"}
    ),
    "an optional field of a body": lambda new: body(new)["properties"].update(
        shop={"type": "string"}
    ),
    "a field of a body that is no longer required": lambda new: body(new).update(required=[]),
    "a new key of an answer": lambda new: member(new)["properties"].update(
        shop={"type": "integer"}
    ),
    "an answer with one value less": lambda new: member(new)["properties"]["kind"].update(
        enum=["new"]
    ),
}


@pytest.mark.parametrize("line", BREAKING)
def test_what_breaks_a_client_is_named(line: str) -> None:
    new = document()
    BREAKING[line](new)
    assert line in breaking_changes(document(), new)


@pytest.mark.parametrize("change", HARMLESS)
def test_an_addition_breaks_nothing(change: str) -> None:
    new = copy.deepcopy(document())
    HARMLESS[change](new)
    assert breaking_changes(document(), new) == []
