"""The OpenAPI documents that are kept, and what generators of clients need of all of them."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.openapi.__main__ import main
from services.openapi.documents import documents
from tests.conftest import PROJECT_DIR

FOLDER = PROJECT_DIR / "docs/openapi"
DOCUMENTS = documents()
OPERATIONS = [
    (name, f"{method.upper()} {path}", operation)
    for name, document in DOCUMENTS.items()
    for path, operations in document["paths"].items()
    for method, operation in operations.items()
]
# Those of JSON Schema that this project's schemas need; ge, say, is none, and read by nobody.
KEYWORDS = {
    "$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum",
    "examples", "format", "items", "maxItems", "maxLength", "maximum", "minItems", "minLength",
    "minimum", "not", "oneOf", "pattern", "properties", "required", "title", "type", "uniqueItems",
}  # fmt: skip


def schemas_in(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema of a document, those inside schemas included."""
    if isinstance(part, list):
        for value in part:
            yield from schemas_in(value)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "schema":
                yield from with_inner(value)
            elif key == "schemas":
                for schema in value.values():
                    yield from with_inner(schema)
            elif key not in {"example", "examples", "value"}:
                yield from schemas_in(value)


def with_inner(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [
        *schema.get("properties", {}).values(),
        *schema.get("anyOf", []),
        *schema.get("oneOf", []),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]
    for one in inner:
        if isinstance(one, dict):
            yield from with_inner(one)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["openapi", *map(str, arguments)])
    monkeypatch.setattr("services.openapi.__main__.documents", lambda: DOCUMENTS)
    return main()


def test_the_kept_documents_are_what_the_code_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, FOLDER, "--check") == 0, capsys.readouterr().err
    assert {path.stem for path in FOLDER.iterdir()} == DOCUMENTS.keys()


def test_a_document_that_differs_is_named_with_what_breaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path) == 0
    older = json.loads((tmp_path / "scoring.json").read_text())
    older["paths"]["/scores"] = older["paths"]["/score"]
    (tmp_path / "scoring.json").write_text(json.dumps(older))
    capsys.readouterr()

    assert run(monkeypatch, tmp_path, "--check") == 1
    said = capsys.readouterr()
    assert said.out == "scoring: breaks clients: POST /scores is gone\n"
    assert said.err == f"{tmp_path}/scoring.json is not what the code says: make openapi\n"
    assert run(monkeypatch, tmp_path) == 0
    assert run(monkeypatch, tmp_path, "--check") == 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schemas_use_what_every_generator_knows(name: str) -> None:
    for schema in schemas_in(DOCUMENTS[name]):
        assert set(schema) <= KEYWORDS, schema
        for bound in ("minimum", "maximum"):
            if schema.get("type") == "integer":
                assert isinstance(schema.get(bound, 0), int), schema


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_leads_to_a_component(name: str) -> None:
    text = json.dumps(DOCUMENTS[name])
    references = set(re.findall(r'"\$ref": "([^"]+)"', text))
    components = DOCUMENTS[name]["components"]
    known = {
        f"#/components/{kind}/{one}"
        for kind in ("schemas", "responses")
        for one in components[kind]
    }
    assert references <= known
    assert references


@pytest.mark.parametrize(("name", "label", "operation"), OPERATIONS)
def test_an_operation_has_a_short_id_a_known_tag_and_named_schemas(
    name: str, label: str, operation: dict[str, Any]
) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", operation["operationId"]), label
    (tag,) = operation["tags"]
    described = {one["name"]: one["description"] for one in DOCUMENTS[name]["tags"]}
    assert re.fullmatch(r"[a-z]+( [a-z]+)*", tag)
    assert described[tag]
    for parameter in operation.get("parameters", []):
        assert {"type": "null"} not in parameter["schema"].get("anyOf", [])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        shapes = content["schema"].get("anyOf", [content["schema"]])
        assert all(set(shape) == {"$ref"} for shape in shapes), label


@pytest.mark.parametrize(("name", "label", "operation"), OPERATIONS)
def test_what_any_request_may_meet_is_described(
    name: str, label: str, operation: dict[str, Any]
) -> None:
    shared = DOCUMENTS[name]["components"]["responses"]
    for status, kind in (
        (400, "malformed-request"), (408, "request-too-slow"), (421, "unknown-host"),
        (429, "too-many-connections"), (431, "head-too-large"), (503, "answer-too-late"),
    ):  # fmt: skip
        response = operation["responses"][str(status)]
        found = shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
        examples = found["content"]["application/problem+json"]["examples"]
        assert examples[kind]["value"]["status"] == status, label


def test_lists_name_their_fields_and_lead_to_what_is_read_by_them() -> None:
    paths = DOCUMENTS["api"]["paths"]
    schemas = DOCUMENTS["api"]["components"]["schemas"]
    listing = paths["/v1/commodities"]["get"]
    (fields,) = (one["schema"] for one in listing["parameters"] if one["name"] == "fields")
    one, several = fields["anyOf"]
    assert several == {"type": "array", "items": one}
    known = ["commodity", "section", "products", "lines", "total_sales"]
    assert schemas[one["$ref"].rpartition("/")[2]]["enum"] == known
    answers = listing["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    pages = [schemas[answer["$ref"].rpartition("/")[2]] for answer in answers]
    documents = [schemas[page["properties"]["data"]["items"]["$ref"].rpartition("/")[2]]
                 for page in pages]  # fmt: skip
    assert [document.get("required", []) for document in documents] == [known, []]
    assert documents[0]["properties"] == documents[1]["properties"]

    links = listing["responses"]["200"]["links"]
    to = {"commodity": "$response.body#/data/0/commodity"}
    assert {name: link["parameters"] for name, link in links.items()} == {
        "read_commodity": to, "list_commodity_associations": to,
    }  # fmt: skip
    links = paths["/v1/marts/{domain}"]["get"]["responses"]["200"]["links"]
    to = {"domain": "$request.path.domain", "mart": "$response.body#/data/0/mart"}
    assert {name: link["parameters"] for name, link in links.items()} == {
        "read_mart": to, "read_mart_parquet": to, "read_mart_schema": to,
    }  # fmt: skip
    # The ids of products are those of another shop than the households'.
    assert [*paths["/v1/products"]["get"]["responses"]["200"]["links"]] == ["read_product"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_two_operations_share_an_id(name: str) -> None:
    ids = [operation["operationId"] for of, _, operation in OPERATIONS if of == name]
    assert len(ids) == len(set(ids))
