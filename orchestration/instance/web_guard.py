"""The check before Dagster's page, which has no login: who may ask, and how something is changed.

Dagster runs what is in the query of a GET, or of a POST with any content type: a stranger's page
open in the same browser could start runs. Here a page of another origin is refused, and what is not
a GET must be JSON, which browsers send to another origin only after asking.
"""

from http import HTTPStatus

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pollux.runtime.hosts import AllowedHosts, name_of, shown

READING = frozenset({"GET", "HEAD", "OPTIONS"})
GRAPHQL = "/graphql"
JSON = b"application/json"

Refusal = tuple[HTTPStatus, str]


class Guard:
    """Middleware that lets in requests and websockets of the page itself, and of programs."""

    def __init__(self, app: ASGIApp, allowed: AllowedHosts) -> None:
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on; answers a problem document, or closes the websocket before it opens."""
        refusal = None
        if scope["type"] == "http":
            refusal = self._foreign(scope) or _changes_by_other_means(scope)
        elif scope["type"] == "websocket":
            refusal = self._foreign(scope)
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[0].phrase})
        else:
            await _answer(*refusal)(scope, receive, send)

    def _foreign(self, scope: Scope) -> Refusal | None:
        hosts, origins = _headers(scope, b"host"), _headers(scope, b"origin")
        for host in hosts:
            if not self.allowed.allows(host):
                return HTTPStatus.MISDIRECTED_REQUEST, (
                    f"Dagster's page does not answer as {shown(host)}. If that is a name of this "
                    "installation, add it to POLLUX_ALLOWED_HOSTS."
                )
        for origin in origins:
            if not self._is_own(origin, hosts):
                return HTTPStatus.FORBIDDEN, (
                    f"Pages of {shown(origin)} may not call Dagster's. If a proxy shows Dagster's "
                    "page there, add its name to POLLUX_ALLOWED_HOSTS."
                )
        return None

    def _is_own(self, origin: bytes, hosts: list[bytes]) -> bool:
        _, slashes, place = origin.lower().partition(b"://")
        # A proxy may have put its own address in the place of Host.
        name = name_of(place)
        return bool(slashes) and (
            [place] == [host.lower() for host in hosts]
            or (name is not None and self.allowed.names(name))
        )


def _changes_by_other_means(scope: Scope) -> Refusal | None:
    if scope["method"] in READING:
        # With this, Dagster shows its form and runs nothing.
        shows_form = any(b"text/html" in value for value in _headers(scope, b"accept"))
        if scope["path"].rstrip("/") == GRAPHQL and not shows_form:
            return HTTPStatus.METHOD_NOT_ALLOWED, "GraphQL is asked by POST, with JSON."
        return None
    kinds = [value.partition(b";")[0].strip().lower() for value in _headers(scope, b"content-type")]
    if kinds != [JSON]:
        return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON: Content-Type: application/json."
    return None


def _headers(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _answer(status: HTTPStatus, detail: str) -> JSONResponse:
    headers = {"Cache-Control": "no-store"}
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = "POST"
    document = {"title": status.phrase, "status": int(status), "detail": detail}
    return JSONResponse(document, status, headers, "application/problem+json")
