"""The dashboard as a server: its address, its process, and who may ask it."""

from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from altair.utils.schemapi import disable_debug_mode
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import App, file_util
from streamlit.web.bootstrap import load_config_options

from pollux.runtime.hosts import AllowedHosts
from pollux.runtime.settings import Settings
from services.common.api_keys import check_address
from services.common.health import NOT_KEPT, Health
from services.common.hosts import RequireHost
from services.common.port import bind
from services.dashboard.options import OPTIONS
from services.dashboard.pages import PAGES

SCRIPT = Path(__file__).parent / "frame" / "app.py"
SHUTDOWN_SECONDS = 3
# Streamlit's script would look for its server below each page's own path first, and find nothing.
WHERE = "<script>window.__streamlit = { BACKEND_BASE_URL: window.location.origin }</script>"


def run(settings: Settings) -> None:
    """Serves the dashboard until the process is told to stop.

    Raises `PolluxError` for a port in use or an open address without keys.
    """
    check_address(settings, settings.dashboard_host, "POLLUX_DASHBOARD_HOST")
    with bind(
        settings.dashboard_host, settings.dashboard_port, setting="POLLUX_DASHBOARD_PORT"
    ) as listening:
        config = uvicorn.Config(
            create_app(settings),
            loop="uvloop",
            lifespan="on",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listening])


def create_app(settings: Settings) -> ASGIApp:
    """The dashboard as an app, with what its first view needs imported already."""
    load_config_options(OPTIONS)
    # Tests hold that charts are what Vega-Lite takes: checking each again is a quarter of a view.
    disable_debug_mode()
    text = read_document()

    async def show_document(_request: Request) -> Response:
        return HTMLResponse(text, headers=NOT_KEPT)

    paths = ["/", *(f"/{page.PATH}" for page in PAGES)]
    return App(
        SCRIPT,
        routes=[Route("/healthz", _read_health), *(Route(path, show_document) for path in paths)],
        middleware=[
            Middleware(RequireHost, allowed=AllowedHosts(settings)),
            Middleware(RequireOwnPages),
        ],
    )


def read_document() -> str:
    """Streamlit's document, which every page begins with, under our name."""
    text = (Path(file_util.get_static_dir()) / "index.html").read_text()
    return text.replace("<title>Streamlit</title>", f"<title>Pollux</title>{WHERE}")


class RequireOwnPages:
    """Middleware that refuses what pages of another origin send, before Streamlit sees it.

    Streamlit would ask a server on the internet for this machine's address to compare.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, or answers 403."""
        if scope["type"] in ("http", "websocket"):
            headers = dict(scope["headers"])
            origin = urlsplit(headers.get(b"origin", b"").decode("latin-1")).netloc
            if b"origin" in headers and origin.encode("latin-1") != headers.get(b"host"):
                await Response("Only the dashboard's own pages may ask.", status_code=403)(
                    scope, receive, send
                )
                return
        await self.app(scope, receive, send)


async def _read_health(_request: Request) -> Response:
    return JSONResponse(Health().model_dump(), headers=NOT_KEPT)
