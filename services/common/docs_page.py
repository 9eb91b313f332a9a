"""The page `/docs`, on which a person tries routes: Swagger UI, from this installation alone.

Its files come with the package `fastapi-offline`; nothing is asked of another server.
"""

from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from services.common.prefix import prefix_of

PATH = "/docs"
SCRIPT, STYLE, ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"
# All that a browser asks for before anyone has entered a key.
PATHS = frozenset({PATH, "/openapi.json", *(f"{PATH}/{name}" for name in (SCRIPT, STYLE, ICON))})

STATIC = files("fastapi_offline").joinpath("static")
# The page's own script is inline, and Swagger UI's pictures are in its style.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
KEPT = {"Cache-Control": "max-age=3600"}
# No validator on another server.
PARAMETERS = {"validatorUrl": None, "displayRequestDuration": True}

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


def add_docs_page(app: FastAPI) -> None:
    """Adds the page of an app and the files that it asks for."""

    async def show(request: Request) -> Response:
        prefix = prefix_of(request.scope)
        page = get_swagger_ui_html(
            title=f"{app.title}: try its routes",
            openapi_url=f"{prefix}{app.openapi_url}",
            swagger_js_url=f"{prefix}{PATH}/{SCRIPT}",
            swagger_css_url=f"{prefix}{PATH}/{STYLE}",
            swagger_favicon_url=f"{prefix}{PATH}/{ICON}",
            swagger_ui_parameters=PARAMETERS,
        )
        page.headers.update(HEADERS)
        return page

    app.add_route(PATH, show, include_in_schema=False)
    for name in (SCRIPT, STYLE, ICON):
        app.add_route(f"{PATH}/{name}", _file(name), include_in_schema=False)


def _file(name: str) -> Answer:
    async def send(_request: Request) -> Response:
        return FileResponse(str(STATIC.joinpath(name)), headers=KEPT)

    return send
