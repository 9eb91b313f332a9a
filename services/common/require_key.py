"""The check of requests: whether each has an accepted key, with the scope of its route.

Belongs here: the middleware, and the demand for a scope. Does not belong here: which keys there are
(`services.common.api_keys`), and which route needs which scope (its router says so).
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic

from starlette.types import ASGIApp, Receive, Scope, Send

from pollux.runtime.keys import KeyScope
from services.common import docs_page, key_problems
from services.common.api_keys import ApiKeys, Key, Refused
from services.common.prefix import path_of

# Where the scope of a request has the key that let it in, and what its route needs.
KEY_IN_SCOPE = "pollux.key"
NEEDS_IN_SCOPE = "pollux.needs"
# What says nothing of data: probes and browsers ask for it before they have a key.
OPEN_PATHS = docs_page.PATHS | {"/", "/healthz", "/readyz"}


class RequireKey:
    """Middleware that lets in requests with an accepted key; where none are required, all."""

    def __init__(self, app: ASGIApp, *, keys: ApiKeys) -> None:
        self.app = app
        self.keys = keys

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Passes on with the key, or answers 401 or 429."""
        # No coroutine of its own: of an answer from memory, that would be a part that shows.
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        keys = self.keys
        if monotonic() >= keys.look_again_at:
            keys.look()
        if not keys.are_required:
            return self.app(scope, receive, send)
        lately, sent = keys.lately, []
        for name, value in scope["headers"]:
            if name == b"authorization":
                sent.append(value)
        if len(sent) == 1 and sent[0] in lately:
            scope[KEY_IN_SCOPE] = lately[sent[0]]
            return self.app(scope, receive, send)
        if path_of(scope) in OPEN_PATHS:
            return self.app(scope, receive, send)
        return self._judge(sent, scope, receive, send)

    async def _judge(self, sent: list[bytes], scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(sent, scope)
        if isinstance(found, Refused):
            if found.wait:
                await asyncio.sleep(found.wait)
            await found.problem.response(scope)(scope, receive, send)
            return
        scope[KEY_IN_SCOPE] = found
        await self.app(scope, receive, send)

    def _find(self, sent: list[bytes], scope: Scope) -> Key | Refused:
        if len(sent) == 1:
            scheme, _, key = sent[0].partition(b" ")
            if scheme.lower() == b"bearer" and (key := key.strip()):
                client = scope.get("client")
                found = self.keys.find(key, client[0] if client else "")
                if isinstance(found, Key) and found.may_be_kept():
                    self.keys.lately[sent[0]] = found
                return found
        return Refused(key_problems.unauthorized())


def demand(scope: Scope, needs: KeyScope) -> None:
    """Raises a problem where the key of a request lacks a scope."""
    key: Key | None = scope.get(KEY_IN_SCOPE)
    if key is not None and needs not in key.scopes:
        key.refusals.of_scope(key.name, needs)
        raise key_problems.lacks_scope(key.name, needs, key.scopes)
