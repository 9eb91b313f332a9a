"""JSON bodies, and the queries beside them: read within a limit, validated by models.

FastAPI would parse a body of any size into Python objects and validate those. Here bytes are
counted as they arrive, and pydantic parses and validates them in one step. A query, even an empty
one, would cost FastAPI as much time as the body.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from services.common.openapi_schemas import REFERENCE, ReadHere
from services.common.problems import ProblemError, invalid_parts

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 64 * 1024
MAX_DIGITS = 18


async def read_body(
    request: Request,
    model: type[M],
    unknown: Mapping[str, Callable[[], ProblemError]],
    *,
    limit: int = MAX_BODY_BYTES,
) -> M:
    """The body as a model; raises a problem if it is too large, not JSON, or invalid.

    If the only error is a field whose value is not one of its known values, raises the problem
    that `unknown` has for the field.
    """
    return parse_body(await read_json_bytes(request, limit), model, unknown)


async def read_json_bytes(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The bytes of a JSON body; raises a problem if it is too large or not declared as JSON."""
    headers = dict(request.scope["headers"])
    media_type: bytes = headers.get(b"content-type", b"")
    if media_type.partition(b";")[0].strip().lower() != b"application/json":
        raise unsupported_media_type()
    length: bytes = headers.get(b"content-length", b"")
    # Refused before it is read.
    if length.isdigit() and (len(length) > MAX_DIGITS or int(length) > limit):
        raise body_too_large(limit)
    return await _receive(request, limit)


def parse_body(body: bytes, model: type[M], unknown: Mapping[str, Callable[[], ProblemError]]) -> M:
    """Bytes as a model; raises as `read_body` does."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        parts = error.errors(include_url=False, include_input=False)
        if parts[0]["type"] == "json_invalid":
            raise not_json(str(parts[0]["msg"])) from None
        if len(parts) == 1 and parts[0]["type"] == "literal_error":
            problem = unknown.get(str(parts[0]["loc"][0]))
            if problem is not None:
                raise problem() from None
        raise invalid_parts([{**part, "loc": ("body", *part["loc"])} for part in parts]) from None


def read_query(request: Request, model: type[M]) -> M:
    """The query as a model whose fields all have defaults; raises a problem if it is invalid."""
    if not request.scope["query_string"]:
        return model()
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        parts = error.errors(include_url=False, include_input=False)
        raise invalid_parts([{**part, "loc": ("query", *part["loc"])} for part in parts]) from None


def read_here(body: type[BaseModel] | UnionType, query: type[BaseModel] | None = None) -> ReadHere:
    """The `openapi_extra` of a route that reads its body and query with this module.

    A union of models is a body in any of these shapes.
    """
    bodies = get_args(body) if isinstance(body, UnionType) else (body,)
    references: list[dict[str, Any]] = [
        {"$ref": REFERENCE.format(model=one.__name__)} for one in bodies
    ]
    schema = {"anyOf": references} if len(references) > 1 else references[0]
    content = {"application/json": {"schema": schema}}
    described: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    if query is not None:
        described["parameters"] = query_parameters(query)
    return ReadHere(*bodies, **described)


def query_parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    """The fields of a query as parameters in OpenAPI."""
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": schema,
            "description": schema["description"],
        }
        for name, schema in query.model_json_schema()["properties"].items()
    ]


def body_problems(limit: int = MAX_BODY_BYTES) -> list[ProblemError]:
    """The problems that any body may have."""
    return [
        not_json("Invalid JSON: EOF while parsing a value at line 1 column 0"),
        body_too_large(limit),
        unsupported_media_type(),
    ]


def not_json(why: str) -> ProblemError:
    """The problem of a body that cannot be parsed."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "not-json", "Not JSON", why)


def body_too_large(limit: int = MAX_BODY_BYTES) -> ProblemError:
    """The problem of a body above the limit."""
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body-too-large",
        "Body too large",
        f"The body may have {limit} bytes at most.",
    )


def unsupported_media_type() -> ProblemError:
    """The problem of a body that is not declared as JSON."""
    return ProblemError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Unsupported media type",
        "Send JSON, and say so: Content-Type: application/json.",
        headers={"Accept": "application/json"},
    )


async def _receive(request: Request, limit: int) -> bytes:
    body = b""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            # The client is gone and reads no answer: nothing worth logging.
            raise not_json("The body ended early.")
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > limit:
            raise body_too_large(limit)
        if not message.get("more_body", False):
            return body
