"""Schemas as generators of clients read them.

Belongs here: bodies and queries that routes read themselves, and what FastAPI's description lacks.
Does not belong here: problems, releases and keys (`services.common.openapi`).
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.common.formats import Format

REFERENCE = "#/components/schemas/{model}"
# Above it, a float may stand for several integers.
EXACT_IN_FLOAT = 2**53
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


class ReadHere(dict[str, Any]):
    """The `openapi_extra` of a route that reads its body itself; `bodies` are the body's models."""

    def __init__(self, *bodies: type[BaseModel], **described: Any) -> None:  # noqa: ANN401
        super().__init__(described)
        self.bodies = bodies


def add_models(description: dict[str, Any], models: set[type[BaseModel]], mode: Any) -> None:  # noqa: ANN401
    """Defines models, and what they consist of, in the components.

    Raises `ValueError` if another model already has the name of one.
    """
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    asked = [(model, mode) for model in sorted(models, key=lambda model: model.__name__)]
    _, found = models_json_schema(asked, ref_template=REFERENCE)
    for name, schema in found.get("$defs", {}).items():
        if name in schemas and _plain(schemas[name]) != _plain(schema):
            raise ValueError(f"two schemas of OpenAPI would be called {name}")
        schemas[name] = schema


def mend(description: dict[str, Any]) -> None:
    """Changes what FastAPI writes to what generators expect.

    A parameter is left out, not null. Whole bounds are integers. An answer's schema has no title
    made from its operation, and is exactly one of its alternatives, the one with most fields
    first: clients try them in this order. A list comes in every format.
    """
    for operation in operations(description):
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _without_null(parameter["schema"])
            if parameter["name"] == "next":
                content = operation["responses"]["200"]["content"]
                for one in Format:
                    content.setdefault(one.value, {"schema": {"type": "string"}})
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                schema = content.get("schema", {})
                schema.pop("title", None)
                if "anyOf" in schema:
                    schema["oneOf"] = schema.pop("anyOf")
    _mend_bounds(description)


def listed(operation: dict[str, Any], description: dict[str, Any]) -> str | None:
    """The name of the documents that an operation lists; None if it lists none that have one."""
    answer = operation["responses"]["200"].get("content", {}).get("application/json", {})
    page = _referred(answer.get("schema", {}))
    if page is None:
        return None
    properties = description["components"]["schemas"][page].get("properties", {})
    return _referred(properties.get("data", {}).get("items", {}))


def fields_of(document: str, description: dict[str, Any]) -> list[str]:
    """The fields of documents with that name."""
    return [*description["components"]["schemas"][document]["properties"]]


def operations(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every operation of a description."""
    for path in description["paths"].values():
        yield from path.values()


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" not in schema:
        return schema
    shapes = [shape for shape in schema["anyOf"] if shape != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**shapes[0], **rest} if len(shapes) == 1 else {"anyOf": shapes, **rest}


def _referred(schema: dict[str, Any]) -> str | None:
    """The name of the component that a schema refers to, if it does."""
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else None


def _mend_bounds(part: Any) -> None:  # noqa: ANN401
    if isinstance(part, dict):
        for name in BOUNDS:
            bound = part.get(name)
            if isinstance(bound, float) and bound.is_integer() and abs(bound) <= EXACT_IN_FLOAT:
                part[name] = int(bound)
        for value in part.values():
            _mend_bounds(value)
    elif isinstance(part, list):
        for value in part:
            _mend_bounds(value)


def _plain(schema: dict[str, Any]) -> Any:  # noqa: ANN401
    """A schema in which equal numbers are equal, be they written as integers or floats.

    That a field is null unless given, FastAPI does not write.
    """
    if isinstance(schema, dict):
        given = [(key, value) for key, value in schema.items() if (key, value) != ("default", None)]
        return {key: _plain(value) for key, value in given}
    if isinstance(schema, list):
        return [_plain(value) for value in schema]
    return float(schema) if isinstance(schema, int) and not isinstance(schema, bool) else schema
