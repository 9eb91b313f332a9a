"""The check of a request's Host."""

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from pollux.runtime.hosts import AllowedHosts, shown
from services.common.problems import ProblemError


class RequireHost:
    """Middleware that answers under the installation's names only.

    A request without Host (HTTP/1.0) is let in: browsers always send one.
    """

    def __init__(self, app: ASGIApp, *, allowed: AllowedHosts) -> None:
        self.app = app
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, or answers 421."""
        if scope["type"] in ("http", "websocket"):
            for name, value in scope["headers"]:
                if name == b"host" and not self.allowed.allows(value):
                    problem = unknown_host(shown(value))
                    await problem.response(scope)(scope, receive, send)
                    return
        await self.app(scope, receive, send)


def unknown_host(host: str) -> ProblemError:
    """The problem of a request to a name that is not one of the installation's."""
    return ProblemError(
        HTTPStatus.MISDIRECTED_REQUEST,
        "unknown-host",
        "Unknown host",
        f"This installation does not answer as {host}. If that is a name of its own, add it to "
        "POLLUX_ALLOWED_HOSTS.",
    )
