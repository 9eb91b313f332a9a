"""Links of OpenAPI: which operations take the ids that the documents of a list hold.

Readers see where they can go on from a list, and tools that test services follow them.
"""

import re
from collections.abc import Iterator
from typing import Any

from services.common.openapi_schemas import fields_of, listed

IN_PATH = re.compile(r"\{(\w+)\}")


def add_links(description: dict[str, Any]) -> None:
    """Links the list at `/things` to `/things/{thing_id}` and to paths that go on from there.

    Its documents must have a field of the parameter's name.
    """
    reads = {
        path: methods["get"] for path, methods in description["paths"].items() if "get" in methods
    }
    for path, operation in reads.items():
        document = listed(operation, description)
        fields = [] if document is None else fields_of(document, description)
        if links := dict(_links(path, fields, reads)):
            operation["responses"]["200"]["links"] = links


def _links(
    path: str, fields: list[str], reads: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    own = {name: f"$request.path.{name}" for name in IN_PATH.findall(path)}
    for longer, operation in reads.items():
        goes_on = re.fullmatch(rf"{re.escape(path)}/{IN_PATH.pattern}(/[^{{}}]*)?", longer)
        if goes_on and (name := goes_on[1]) in fields:
            yield (
                operation["operationId"],
                {
                    "operationId": operation["operationId"],
                    "description": f"With the {name} of any document; this is the first one's.",
                    "parameters": own | {name: f"$response.body#/data/0/{name}"},
                },
            )
