"""The path prefix under which a proxy shows a service, which links and documentation need.

Belongs here: which prefix a request came under. Does not belong here: the proxy's other headers,
which nothing trusts.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from pollux.runtime.settings import PREFIX
from services.common.health import Index

HEADER = b"x-forwarded-prefix"
MAX_LENGTH = 200


class KnowPrefix:
    """Middleware that tells the app its prefix: that of the setting, or else the proxy's header.

    With a setting, the proxy may take the prefix away from paths or leave it there; a proxy that
    sends the header has taken it away. In the scope both become what ASGI asks for: `root_path` is
    the prefix, and `path` begins with it.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on."""
        if scope["type"] == "http" and (prefix := self.root_path or _forwarded(scope)):
            path: str = scope["path"]
            is_there = self.root_path and path.startswith(f"{prefix}/")
            scope["root_path"] = prefix
            scope["path"] = path if is_there else prefix + path
        await self.app(scope, receive, send)


def prefix_of(scope: Scope) -> str:
    """The prefix that a request came under, empty where there is none."""
    prefix: str = scope.get("root_path", "")
    return prefix


def path_of(scope: Scope) -> str:
    """The path of a request as the service has it."""
    path: str = scope["path"]
    return path.removeprefix(prefix_of(scope))


def index_of(request: Request, links: Mapping[str, str]) -> Index:
    """Where things are, as the one who asks reaches them."""
    prefix = prefix_of(request.scope)
    return Index(
        name=request.app.title, links={name: prefix + path for name, path in links.items()}
    )


def _forwarded(scope: Scope) -> str:
    found = [value for name, value in scope["headers"] if name == HEADER]
    if len(found) != 1 or len(found[0]) > MAX_LENGTH:
        return ""
    prefix = found[0].decode("latin-1").rstrip("/")
    # Anyone may send the header, and a page shows it.
    return prefix if PREFIX.fullmatch(prefix) else ""
