"""How problems, releases and scopes are documented in OpenAPI, the same for every service."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from pollux.runtime.keys import KeyScope
from pollux.runtime.settings import Settings
from services.common import key_problems
from services.common.database import DatabaseUnavailableError, database_refuses
from services.common.hosts import unknown_host
from services.common.limits import (
    answer_too_late,
    head_too_large,
    malformed,
    request_too_slow,
    too_many_connections,
)
from services.common.openapi_fields import add_fields
from services.common.openapi_links import add_links
from services.common.openapi_schemas import ReadHere, add_models, mend, operations
from services.common.problems import MEDIA_TYPE, Problem, ProblemError, internal_error
from services.common.releases import NothingReleasedError
from services.common.scopes import needs_of

PROBLEM = {"$ref": "#/components/schemas/Problem"}
KEY_SCHEME = "key"


class DocumentedApi(FastAPI):
    """An app whose OpenAPI description has problem documents, and the scope that each route needs.

    The id of an operation is the name of the function that answers it.
    """

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            routes = [route for route in self.routes if isinstance(route, APIRoute)]
            for route in routes:
                route.operation_id = route.name
            description = super().openapi()
            extras = [route.openapi_extra for route in routes]
            bodies = {
                body for extra in extras if isinstance(extra, ReadHere) for body in extra.bodies
            }
            add_models(description, {Problem}, "serialization")
            add_models(description, bodies, "validation")
            mend(description)
            add_links(description)
            add_fields(description)
            _add_scopes(description, routes)
            _add_refusals(description)
        return self.openapi_schema or {}


def release_responses(
    domain: str, *problems: ProblemError, conditional: bool = True
) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that answers from a release, with its own problems.

    One that is not `conditional` never answers 304.
    """
    shared = [
        internal_error(),
        DatabaseUnavailableError(),
        database_refuses(),
        NothingReleasedError(domain),
    ]
    responses = problem_responses(*problems, *shared)
    headers = {
        "ETag": {
            "description": "Tag of the release; send it back as If-None-Match.",
            "schema": {"type": "string", "examples": [f'"{domain}-3-5f0c3a91d2"']},
        },
        "X-Pollux-Release": {
            "description": "Release that the answer was made from.",
            "schema": {"type": "string", "examples": [f"{domain}-3"]},
        },
    }
    responses[200] = {"headers": headers}
    if conditional:
        responses[304] = {
            "description": "The release named in If-None-Match is still the current one.",
            "headers": headers,
        }
    return responses


def live_responses(domain: str, *problems: ProblemError) -> dict[int | str, dict[str, Any]]:
    """The same of a route whose answer may be newer than the release."""
    responses = release_responses(domain, *problems)
    freshness = {
        "description": "Only where the answer is newer than the release: the number of the "
        "customer's last event in it, and when it was computed.",
        "schema": {
            "type": "string",
            "examples": ["live; event=1204; computed=2026-11-27T14:03:12.318214Z"],
        },
    }
    for status in (200, 304):
        responses[status]["headers"] |= {"X-Pollux-Freshness": freshness}
    return responses


def problem_responses(*problems: ProblemError) -> dict[int | str, dict[str, Any]]:
    """Responses by status, with every problem as an example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in sorted(problems, key=lambda one: one.status):
        status = HTTPStatus(problem.status)
        content: dict[str, Any] = {"schema": PROBLEM, "examples": {}}
        empty = {"description": status.phrase, "content": {MEDIA_TYPE: content}}
        examples = responses.setdefault(int(status), empty)["content"][MEDIA_TYPE]["examples"]
        examples[problem.kind] = {
            "summary": problem.title,
            "value": problem.document("/v1/…"),
        }
    return responses


def _add_refusals(description: dict[str, Any]) -> None:
    """What any request may meet that its route knows nothing of, described once.

    A route that has problems of the same status has one more.
    """
    refusals = (
        malformed("Invalid HTTP request received."),
        unknown_host("evil.example"),
        head_too_large(),
        request_too_slow(_default("receive_seconds")),
        too_many_connections(_default("connections_per_address")),
        answer_too_late(_default("answer_seconds")),
    )
    shared = description["components"].setdefault("responses", {})
    for refusal in refusals:
        ((status, response),) = problem_responses(refusal).items()
        shared[refusal.kind] = response
        for operation in operations(description):
            reference = {"$ref": f"#/components/responses/{refusal.kind}"}
            own = operation["responses"].setdefault(str(status), reference)
            if own is not reference:
                # That of keys is described once, too.
                own = shared[own["$ref"].rpartition("/")[2]] if "$ref" in own else own
                examples = response["content"][MEDIA_TYPE]["examples"]
                own["content"][MEDIA_TYPE]["examples"] |= examples


def _default(setting: str) -> Any:  # noqa: ANN401
    return Settings.model_fields[setting].default


def _add_scopes(description: dict[str, Any], routes: Iterable[APIRoute]) -> None:
    """The scope that each route needs of a key, and how keys are refused, described once."""
    components = description["components"]
    components["securitySchemes"] = {
        KEY_SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of the installation that has the scope of the operation; needed "
            "once the installation has keys.",
        }
    }
    shared = components.setdefault("responses", {})
    for route in routes:
        if (needs := needs_of(route)) is None:
            continue
        others = set(KeyScope) - {needs}
        lacks_scope = key_problems.lacks_scope("shop-app", needs, others)
        refusals = {
            "key-refused": (key_problems.unauthorized(), key_problems.expired()),
            f"scope-missing-{needs.replace(':', '-')}": (lacks_scope,),
            "too-many-requests": (key_problems.too_many_requests(600, 7),),
        }
        for method in route.methods or ():
            operation = description["paths"][route.path_format][method.lower()]
            operation["security"] = [{KEY_SCHEME: [needs.value]}]
            for name, problems in refusals.items():
                ((status, response),) = problem_responses(*problems).items()
                shared.setdefault(name, response)
                operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
