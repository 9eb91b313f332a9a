"""The app that every service is built on: metrics, keys, problems and routes put together."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from pollux.runtime.hosts import AllowedHosts
from pollux.runtime.settings import Settings
from services.common.api_keys import ApiKeys
from services.common.cors import allow_origins
from services.common.docs_page import add_docs_page
from services.common.hosts import RequireHost
from services.common.limits import Limits
from services.common.metrics import Metrics, Observe
from services.common.openapi import DocumentedApi
from services.common.parameters import refuse_other_parameters
from services.common.prefix import KnowPrefix
from services.common.problems import add_problem_handlers
from services.common.request_log import RequestLog
from services.common.require_key import RequireKey
from services.common.scopes import guard, needs_of

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_app(
    settings: Settings,
    *,
    name: str,
    title: str,
    description: str,
    tags: list[dict[str, Any]],
    lifespan: Lifespan,
    metrics: Metrics,
    keys: ApiKeys,
    routers: Iterable[APIRouter],
    middleware: Sequence[Middleware] = (),
    root_path: str = "",
) -> DocumentedApi:
    """An app that counts its answers, requires a key where there are any, and answers problems.

    It answers under the installation's names, and pages of the origins in the settings may call it.
    `name` is the service's in the log of requests. `middleware` runs after metrics, prefix and key
    check. `root_path` is the prefix under which a proxy serves the app, for a proxy that does not
    send it.
    """
    app = DocumentedApi(
        title=title,
        version=version("pollux"),
        description=description,
        openapi_tags=tags,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        # In the order in which a request meets them.
        middleware=[
            Middleware(
                Observe,
                metrics=metrics,
                request_log=RequestLog(name) if settings.log_requests else None,
            ),
            Middleware(RequireHost, allowed=AllowedHosts(settings)),
            # A preflight has no key.
            *allow_origins(settings.cors_origins),
            Middleware(KnowPrefix, root_path=root_path),
            Middleware(RequireKey, keys=keys),
            *middleware,
        ],
    )
    app.state.metrics = metrics
    app.state.limits = Limits.of(settings)
    app.state.drain_seconds = settings.drain_seconds
    app.state.is_ending = False
    add_problem_handlers(app)
    add_docs_page(app)
    for router in routers:
        for route in router.routes:
            # Routers are shared by the apps of a process.
            if isinstance(route, APIRoute) and needs_of(route) is None:
                refuse_other_parameters(route)
        guard(router)
        # Not include_router, which matches every request twice (a fifth of a request's time).
        app.router.routes += router.routes
    return app
