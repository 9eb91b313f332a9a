"""The path prefix under which a proxy serves a service; links and documentation need it.

Nothing trusts the proxy's other headers.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from pollux.runtime.settings import PREFIX

HEADER = b"x-forwarded-prefix"
MAX_LENGTH = 200


class KnowPrefix:
    """Middleware that tells the app its prefix, from the setting or else from the proxy's header.

    With the setting, the proxy may strip the prefix from paths or leave it; a proxy that sends the
    header has stripped it. In the scope both become what ASGI requires: `root_path` is the prefix,
    and `path` begins with it.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on with its prefix."""
        if scope["type"] == "http" and (prefix := self.root_path or _forwarded(scope)):
            path: str = scope["path"]
            is_there = self.root_path and path.startswith(f"{prefix}/")
            scope["root_path"] = prefix
            scope["path"] = path if is_there else prefix + path
        await self.app(scope, receive, send)


def prefix_of(scope: Scope) -> str:
    """The prefix of a request, empty if there is none."""
    prefix: str = scope.get("root_path", "")
    return prefix


def path_of(scope: Scope) -> str:
    """The path of a request without the prefix."""
    path: str = scope["path"]
    return path.removeprefix(prefix_of(scope))


def _forwarded(scope: Scope) -> str:
    found = [value for name, value in scope["headers"] if name == HEADER]
    if len(found) != 1 or len(found[0]) > MAX_LENGTH:
        return ""
    prefix = found[0].decode("latin-1").rstrip("/")
    # Anyone may send the header, and the documentation page shows it.
    return prefix if PREFIX.fullmatch(prefix) else ""
