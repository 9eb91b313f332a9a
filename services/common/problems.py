"""Problem documents (RFC 9457), the one shape of every error that a service returns.

Belongs here: what a problem is, how it is written, and which exceptions become one. Does not
belong here: problems of one service or one route.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:pollux:problem:"
MAX_INSTANCE_LENGTH = 512
MAX_ERRORS = 50
INVALID = "invalid-input"

log = logging.getLogger("pollux.services")


class InvalidInput(BaseModel):
    """One part of a request that cannot be accepted."""

    model_config = ConfigDict(populate_by_name=True)

    where: str = Field(alias="in", description="path, query or body.", examples=["query"])
    name: str = Field(description="Parameter or field.", examples=["limit"])
    detail: str = Field(
        description="What is wrong with it.",
        examples=["Input should be less than or equal to 1000"],
    )


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(
        description="Kind of problem, stable; programs branch on it.",
        examples=["urn:pollux:problem:unknown-household"],
    )
    title: str = Field(description="The kind in words.", examples=["Unknown household"])
    status: int = Field(description="HTTP status.", examples=[404])
    detail: str = Field(
        description="What happened in this case.", examples=["No household 7 is in scope."]
    )
    instance: str = Field(description="Path asked for.", examples=["/v1/households/7"])
    errors: list[InvalidInput] | None = Field(
        default=None,
        description="With invalid input: the parts that cannot be accepted, 50 at most.",
    )


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors

    def document(self, instance: str) -> dict[str, Any]:
        """The document, about a request to the path `instance`."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
            "instance": instance[:MAX_INSTANCE_LENGTH],
        }
        if self.errors is not None:
            document["errors"] = list(self.errors)
        return document

    def response(self, scope: Scope) -> Response:
        """The document as an answer to the request of `scope`."""
        raw_path: bytes = scope.get("raw_path") or b""
        return Response(
            orjson.dumps(self.document(raw_path.decode("ascii", "replace"))),
            status_code=self.status,
            headers={"Cache-Control": "no-store"} | self.headers,
            media_type=MEDIA_TYPE,
        )


def not_found(kind: str, detail: str) -> ProblemError:
    """The problem of something that is not there; its title is its kind in words."""
    title = kind.replace("-", " ").capitalize()
    return ProblemError(HTTPStatus.NOT_FOUND, kind, title, detail)


def invalid_input(where: str, name: str, detail: str) -> ProblemError:
    """The problem of one parameter that cannot be accepted."""
    return _unprocessable([{"in": where, "name": name, "detail": detail}])


def invalid_parts(
    parts: Sequence[Mapping[str, Any]], *, kind: str = INVALID, title: str = "Invalid input"
) -> ProblemError:
    """The problem of parts that pydantic rejects; their `loc` begins with path, query or body."""
    return _unprocessable([_invalid_part(part) for part in parts], kind=kind, title=title)


def internal_error() -> ProblemError:
    """The problem of an unexpected failure; it reveals nothing about the cause."""
    return ProblemError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal-error",
        "Internal error",
        "The service failed to answer. Its log says why.",
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Turns every exception that FastAPI handles into a problem document."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)  # noqa: S101
        return error.response(request.scope)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return invalid_parts(error.errors()).response(request.scope)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return _method_not_allowed(request).response(request.scope)
        return _from_http(error).response(request.scope)

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


def _unprocessable(
    errors: Sequence[Mapping[str, str]], *, kind: str = INVALID, title: str = "Invalid input"
) -> ProblemError:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        kind,
        title,
        f"{first['in']} {first['name']}: {first['detail']}{more}",
        errors=errors[:MAX_ERRORS],
    )


def _invalid_part(part: Mapping[str, Any]) -> dict[str, str]:
    where, *names = part["loc"]
    message = str(part["msg"]).removeprefix("Value error, ")
    # A parameter has one name, also if it takes several values.
    name = ".".join(str(name) for name in (names[:1] if where == "query" else names))[:100]
    return {"in": str(where), "name": name, "detail": message}


def _method_not_allowed(request: Request) -> ProblemError:
    """Names the methods of all routes at a path; Starlette knows those of the first."""
    methods: set[str] = set()
    for route in request.app.router.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    text = ", ".join(sorted(methods))
    return ProblemError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Method not allowed",
        f"This path takes {text}.",
        headers={"Allow": text},
    )


def _from_http(error: HTTPException) -> ProblemError:
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status is HTTPStatus.NOT_FOUND:
        return not_found("unknown-path", "Nothing is served here.")
    kind = status.phrase.lower().replace(" ", "-")
    return ProblemError(status, kind, status.phrase, str(error.detail), headers=headers)
