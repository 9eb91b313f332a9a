"""Calls from pages of other origins (CORS): Starlette's middleware, answering problems."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from services.common.problems import ProblemError

METHODS = ["GET", "HEAD", "POST"]
REQUEST_HEADERS = ["Authorization", "If-None-Match"]
# Headers of the plain text that a problem replaces.
OF_TEXT = {"content-length", "content-type"}
ANSWER_HEADERS = ["ETag", "X-Pollux-Release", "X-Pollux-Freshness", "X-Pollux-Model", "Retry-After"]


class Cors(CORSMiddleware):
    """Starlette's middleware; a refused preflight is a problem document."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight: 200, or 403 with what was refused."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == HTTPStatus.OK:
            return answer
        refused = bytes(answer.body).decode().removeprefix("Disallowed CORS ")
        headers = {name: value for name, value in answer.headers.items() if name not in OF_TEXT}
        # Starlette does not hand on the path: the page knows what it asked for.
        return cors_refused(refused, headers=headers).response({"type": "http"})


def allow_origins(origins: str) -> list[Middleware]:
    """The middleware for these origins (comma-separated); none without origins."""
    if not origins:
        return []
    return [
        Middleware(
            Cors,
            allow_origins=origins.split(","),
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=ANSWER_HEADERS,
            # Asked for where a public page calls a service in a private network.
            allow_private_network=True,
        )
    ]


def cors_refused(refused: str, *, headers: dict[str, str] | None = None) -> ProblemError:
    """The problem of a preflight for something that pages may not do."""
    return ProblemError(
        HTTPStatus.FORBIDDEN,
        "cors-refused",
        "Refused to pages of this origin",
        f"Not allowed: {refused}. POLLUX_CORS_ORIGINS names the origins; their pages may send "
        f"{', '.join(METHODS)} with {', '.join(REQUEST_HEADERS)} and Content-Type.",
        headers=headers,
    )
