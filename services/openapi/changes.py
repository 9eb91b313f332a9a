"""What a newer edition of an OpenAPI document breaks for clients of the older one.

Belongs here: the comparison of two documents. Does not belong here: where they come from.

A request of an old client must still be taken, and it must be able to read the answers: whoever
gives a value may give nothing that whoever takes it does not expect. New operations, new optional
parameters and new keys in answers break nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

ANSWERS = ("200", "201", "202")
# The bound, and whether a taker with a larger one takes more.
BOUNDS = {
    "maximum": True, "maxLength": True, "maxItems": True,
    "minimum": False, "minLength": False, "minItems": False,
}  # fmt: skip


def breaking_changes(old: Json, new: Json) -> list[str]:
    """A line for each change that breaks a client of the old document; none if nothing does."""
    before, after = (_resolved(document["paths"], document) for document in (old, new))
    return list(dict.fromkeys(_breaking(before, after)))


def _resolved(part: Any, document: Json) -> Any:  # noqa: ANN401
    """A part of a document with what its references lead to; none may lead back to itself."""
    if isinstance(part, list):
        return [_resolved(one, document) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        found: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return _resolved(found, document)
    return {name: _resolved(one, document) for name, one in part.items()}


def _breaking(old: Json, new: Json) -> Iterator[str]:
    for path, operations in old.items():
        for method, before in operations.items():
            name = f"{method.upper()} {path}"
            after = new.get(path, {}).get(method)
            if after is None:
                yield f"{name} is gone"
                continue
            if before["operationId"] != after["operationId"]:
                was, now = before["operationId"], after["operationId"]
                yield f"{name} was called {was} and is called {now}"
            yield from _parameters(name, before, after)
            yield from _bodies(name, before, after)
            yield from _answers(name, before, after)


def _parameters(name: str, before: Json, after: Json) -> Iterator[str]:
    taken = {(one["in"], one["name"]): one for one in after.get("parameters", [])}
    given = {(one["in"], one["name"]): one for one in before.get("parameters", [])}
    for key, one in given.items():
        where = f"{name}: parameter {key[1]}"
        if key not in taken:
            yield f"{where} is gone"
        else:
            yield from _unfit(where, one["schema"], taken[key]["schema"], is_answer=False)
    for key, one in taken.items():
        if one.get("required") and not given.get(key, {}).get("required"):
            yield f"{name}: parameter {key[1]} is now required"


def _bodies(name: str, before: Json, after: Json) -> Iterator[str]:
    given = before.get("requestBody", {}).get("content", {})
    taken = after.get("requestBody", {}).get("content", {})
    if after.get("requestBody", {}).get("required") and not before.get("requestBody"):
        yield f"{name}: a body is now required"
    for kind, content in given.items():
        if kind not in taken:
            yield f"{name}: a body of {kind} is no longer taken"
        else:
            where, taker = f"{name}: body", taken[kind]["schema"]
            yield from _unfit(where, content["schema"], taker, is_answer=False)


def _answers(name: str, before: Json, after: Json) -> Iterator[str]:
    for status in ANSWERS:
        if status not in before["responses"]:
            continue
        given = after["responses"].get(status, {})
        for kind, content in before["responses"][status].get("content", {}).items():
            found = given.get("content", {}).get(kind)
            if found is None:
                yield f"{name}: {status} no longer answers {kind}"
            else:
                where, taker = f"{name}: answer", content["schema"]
                yield from _unfit(where, found["schema"], taker, is_answer=True)
        for header in before["responses"][status].get("headers", {}):
            if header not in given.get("headers", {}):
                yield f"{name}: {status} has no header {header} any more"


def _unfit(where: str, giver: Json, taker: Json, *, is_answer: bool) -> Iterator[str]:
    """What the giver may give and the taker does not expect."""
    takers = list(_shapes(taker))
    for given in _shapes(giver):
        same = [taken for taken in takers if _type(taken) in _readable_as(given)]
        if not same:
            kinds = " or ".join(dict.fromkeys(str(_type(one)) for one in takers))
            may = "may now be" if is_answer else "may no longer be"
            yield f"{where} {may} {_type(given) or 'any value'} (otherwise {kinds})"
            continue
        # The shape that fits best speaks for all.
        found = [list(_unfit_shape(where, given, taken, is_answer=is_answer)) for taken in same]
        yield from min(found, key=len)


def _unfit_shape(where: str, gives: Json, takes: Json, *, is_answer: bool) -> Iterator[str]:
    if (expected := _values(takes)) is not None:
        values = _values(gives)
        more = ["any value"] if values is None else [one for one in values if one not in expected]
        if more:
            may = "may now be" if is_answer else "may no longer be"
            yield f"{where} {may} {', '.join(map(str, more))}"
    if takes.get("format") not in {None, gives.get("format")}:
        formats = [side.get("format", "any text") for side in (takes, gives)]
        was, now = formats if is_answer else reversed(formats)
        yield f"{where} was {was} and is {now}"
    for bound, larger_takes_more in BOUNDS.items():
        if bound in takes:
            limit, actual = takes[bound], gives.get(bound)
            if actual is None or (actual > limit if larger_takes_more else actual < limit):
                was, now = (limit, actual) if is_answer else (actual, limit)
                yield f"{where}: {bound} was {was} and is {now}"
    if "items" in gives and "items" in takes:
        yield from _unfit(f"{where}[]", gives["items"], takes["items"], is_answer=is_answer)
    yield from _unfit_properties(where, gives, takes, is_answer=is_answer)


def _unfit_properties(where: str, gives: Json, takes: Json, *, is_answer: bool) -> Iterator[str]:
    given, taken = gives.get("properties", {}), takes.get("properties", {})
    if is_answer:
        for name in sorted(taken.keys() - given.keys()):
            yield f"{where} has no {name} any more"
    elif takes.get("additionalProperties") is False:
        for name in sorted(given.keys() - taken.keys()):
            yield f"{where} may no longer hold {name}"
    always = set(gives.get("required", []))
    for name in takes.get("required", []):
        if name not in always and (not is_answer or name in given):
            yield f"{where}: {name} " + ("may now be absent" if is_answer else "is now required")
    for name, schema in given.items():
        if name in taken:
            yield from _unfit(f"{where}.{name}", schema, taken[name], is_answer=is_answer)


def _shapes(schema: Json) -> Iterator[Json]:
    """The alternatives of a schema, each of one type."""
    if "anyOf" in schema or "oneOf" in schema:
        for alternative in [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
            yield from _shapes(alternative)
    else:
        yield schema


def _type(schema: Json) -> str | None:
    kind = schema.get("type")
    return None if kind is None else str(kind)


def _readable_as(schema: Json) -> set[str | None]:
    """The types whose reader reads a value of this one; None reads any."""
    kind = _type(schema)
    return {kind, None, "number"} if kind == "integer" else {kind, None}


def _values(schema: Json) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values
