"""What schemathesis takes for a fault and the services do on purpose: judged case by case.

Two of its checks hold that a schema says all: data that fit it are accepted, all others refused.

Data that fit may be refused for what no schema can say: what the data of the release are, how two
fields compare, which years there are. The answer is then a documented 422 that names every part it
refuses, each for one of `REASONS`.

Data that do not fit may be accepted where the table of types (docs/types.md) takes their spelling,
such as "7" for 7: read by that table, the request fits.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator

from pollux.names import read_name
from pollux.types import UnfitError, read_scalar

Json = Mapping[str, Any]

# Beginnings of what services say, and why no schema can say it.
REASONS = {
    r"No \w+ is called ['\"]": "the names that data have are known at run time",
    r"No product -?\d+\.": "so are their keys",
    r"Not one of ": "a mart of one's own has columns of its own",
    r"Not a parameter of this path, which takes ": "any name may be one of a mart's filters",
    r"No field ['\"]": "so may any name be a field of a mart",
    r"Not a next of this list ": "where a page begins is told by the page before",
    r"before the year 1000": "OpenAPI has no bounds for times, whose zone may lie before it",
    r"no such time": "nor for those whose zone may lie after the last",
    r"((the )?\w+: )?NUL byte": "no text of the database may hold it",
    r"Input should be a valid string": "names of blanks only are none",
    r"(the \w+|the customer's id) is missing": "the same in an event",
    r"An event_id is not blank": "the same of an event's own",
    r"(List|Value) should have at (most|least) \d+ item": "words of a text, and readings of names",
    r"An email holds no blank": "a + that was not encoded arrives as a blank",
    r"The id of a \w+ is ": "what an id is depends on the kind beside it",
    r"more than two decimals": "no float is a multiple of 0.01",
    r"the customer's id: beyond 64 bits": "a text has no bounds of numbers",
    r"(\w+: |the customer's id: )?an id with an exponent": "9e15 may have been another",
    r"no day of the years 1000 to 9999": "OpenAPI has no bounds for dates, as numbers or as texts",
    r"an implausible day: ": "which days are to come depends on today",
    r"Input should not be in the future": "so does this",
    r"Input should not be after ": "fields are compared with each other",
    r"say either at or day": "clients are made from schemas that name each field once",
    r"a product is in two lines": "fields of one line are compared with those of another",
    r"\d+ coupons in all are too many": "lengths of lists are added up",
}
UNREADABLE = object()
# The table's type by a schema's type or, of a text, its format.
TYPES = {
    "boolean": "boolean", "date": "date", "date-time": "timestamp", "integer": "id",
    "number": "number",
}  # fmt: skip


def is_refused_on_purpose(problem: Json) -> bool:
    """Whether a problem names parts only that no schema can describe."""
    errors = problem.get("errors") or []
    details = [re.sub(r"^Value error, ", "", one["detail"]) for one in errors]
    return bool(details) and all(
        any(re.match(reason, detail) for reason in REASONS) for detail in details
    )


def is_accepted_on_purpose(case: Any, document: Json) -> bool:
    """Whether a request fits its operation if its values are read by the table of types."""
    return all(_fits(schema, value, document) for schema, value in _parts(case, document))


def is_as_described(case: Any, document: Json) -> bool:
    """Whether a request fits its operation as it is: values of other answers may not."""
    return all(_is_valid(schema, value, document) for schema, value in _parts(case, document))


def _parts(case: Any, document: Json) -> Iterator[tuple[Any, Any]]:
    """The values of a request, each after its schema, which is false if nothing describes it."""
    operation = document["paths"][case.path][case.method.lower()]
    described = {(one["in"], one["name"]): one["schema"] for one in operation.get("parameters", [])}
    for place, values in (("path", case.path_parameters), ("query", case.query)):
        for name, value in (values or {}).items():
            text = unquote(value) if place == "path" and isinstance(value, str) else value
            yield described.get((place, name), False), text
    if body := operation.get("requestBody", {}).get("content", {}).get("application/json"):
        yield body["schema"], case.body


def _fits(schema: Any, value: Any, document: Json) -> bool:
    """Whether a value fits a schema in any spelling that the table takes."""
    return schema is not False and _is_valid(schema, _read(schema, value, document), document)


def _is_valid(schema: Any, value: Any, document: Json) -> bool:
    root = {**schema, "components": document["components"]} if schema else schema
    return Draft202012Validator(root).is_valid(value)


def _read(schema: Json, value: Any, document: Json) -> Any:
    """A value as a service reads it where this schema is, `UNREADABLE` if it cannot."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _read(document["components"]["schemas"][name], value, document)
    if shapes := schema.get("anyOf") or schema.get("oneOf"):
        fitting = (shape for shape in shapes if _fits(shape, value, document))
        return next((_read(shape, value, document) for shape in fitting), UNREADABLE)
    if schema.get("type") == "array" and isinstance(value, str):
        value = value.split(",")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return {name: _read(known.get(name, {}), one, document) for name, one in value.items()}
    if isinstance(value, list):
        return [_read(schema.get("items", {}), one, document) for one in value]
    try:
        return _scalar(schema.get("format", schema.get("type")), value)
    except UnfitError:
        return UNREADABLE


def _scalar(kind: str | None, value: Any) -> Any:
    if kind in TYPES:
        read = read_scalar(TYPES[kind], value)
        return read.isoformat() if isinstance(read, date) else read
    if kind == "null":
        return None if read_name(value) is None else UNREADABLE
    return read_name(value) if kind == "string" else value
