"""What the parameter `fields` of a list means for its description.

Belongs here: which fields there are, and the answers that hold only some. Does not belong here: how
they are chosen (`services.api.listing`).
"""

from typing import Any

from services.common.openapi_schemas import REFERENCE, fields_of, listed, operations


def add_fields(description: dict[str, Any]) -> None:
    """Names the fields that a list can be asked for, and adds its answer with some of them.

    A whole answer comes first: a client that tries it finds out by a field that is not there.
    """
    schemas = description["components"]["schemas"]
    for operation in operations(description):
        document = listed(operation, description)
        for parameter in operation.get("parameters", []):
            if parameter["name"] == "fields" and document is not None:
                field = _reference(f"{document}Field")
                parameter["schema"]["anyOf"] = [field, {"type": "array", "items": field}]
                schemas[f"{document}Field"] = _field(document, description)
                schemas[f"{document}Part"] = _part(document, schemas[document])
                content = operation["responses"]["200"]["content"]["application/json"]
                page = schemas[content["schema"]["$ref"].rpartition("/")[2]]
                schemas[f"{document}PartPage"] = _page(document, page)
                some = _reference(f"{document}PartPage")
                content["schema"] = {"anyOf": [content["schema"], some]}


def _reference(model: str) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(model=model)}


def _field(document: str, description: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "string",
        "title": f"{document}Field",
        "description": f"A field of {document}.",
        "enum": fields_of(document, description),
    }


def _part(document: str, whole: dict[str, Any]) -> dict[str, Any]:
    part = {key: value for key, value in whole.items() if key != "required"}
    named = {"title": f"{document}Part", "description": f"Some fields of {document}."}
    return part | named


def _page(document: str, whole: dict[str, Any]) -> dict[str, Any]:
    data = whole["properties"]["data"] | {"items": _reference(f"{document}Part")}
    return whole | {
        "title": f"{document}PartPage",
        "description": "The same with the fields that were asked for.",
        "properties": whole["properties"] | {"data": data},
    }
