"""Routers that say which scope their routes need."""

from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from pollux.runtime.keys import KeyScope
from services.common.require_key import NEEDS_IN_SCOPE, OPEN_PATHS, demand


class ScopedRouter(APIRouter):
    """A router each of whose routes needs `needs` of a key."""

    def __init__(self, needs: KeyScope, **arguments: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(**arguments)
        self.needs = needs


def guard(router: APIRouter) -> None:
    """Makes the routes of a router ask for its scope.

    Raises `TypeError` where a router has none, and a route that does not answer everybody.
    """
    for route in router.routes:
        if not isinstance(route, APIRoute):
            continue
        if isinstance(router, ScopedRouter):
            if needs_of(route) is None:
                route.app = _Demanding(route.app, router.needs)
        elif route.path not in OPEN_PATHS:
            raise TypeError(f"{route.path} needs no scope: its router must be a ScopedRouter")


def needs_of(route: APIRoute) -> KeyScope | None:
    """The scope that a route asks for; None if it answers everybody."""
    return route.app.needs if isinstance(route.app, _Demanding) else None


class _Demanding:
    def __init__(self, app: ASGIApp, needs: KeyScope) -> None:
        self._app = app
        self.needs = needs

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        demand(scope, self.needs)
        # For answers that are kept.
        scope[NEEDS_IN_SCOPE] = self.needs
        return self._app(scope, receive, send)
