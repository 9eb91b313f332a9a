"""The dashboard as a server: who may ask, what it begins with, what it is not let do."""

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp, Message
from streamlit import config

from pollux.runtime.settings import Settings
from services.common.api_keys import ApiKeysError
from services.dashboard.pages import PAGES
from services.dashboard.server import create_app, run
from tests.support.asgi import ask


@pytest.fixture(scope="module")
def app() -> ASGIApp:
    return create_app(Settings())


def test_it_says_that_it_is_up(app: ASGIApp) -> None:
    answer = ask(app, "GET", "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "up"})


def test_every_page_has_an_address(app: ASGIApp) -> None:
    assert len(PAGES) >= 3
    for path in ("/", *(f"/{page.PATH}" for page in PAGES)):
        answer = ask(app, "GET", path)
        assert answer.status_code == 200
        assert "<title>Pollux</title>" in answer.text
        # Nothing of a page is fetched from elsewhere.
        assert "https://" not in answer.text


@pytest.mark.parametrize("path", ["/", "/healthz", "/_stcore/health"])
def test_strangers_are_refused(app: ASGIApp, path: str) -> None:
    assert ask(app, "GET", path, headers={"Host": "evil.example"}).status_code == 421
    assert ask(app, "GET", path, headers={"Origin": "http://evil.example"}).status_code == 403
    assert ask(app, "GET", path, headers={"Origin": "null"}).status_code == 403
    own = ask(app, "GET", path, headers={"Origin": "http://localhost"})
    assert own.status_code != 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 421), ({"origin": "http://evil.example"}, 403)],
)
def test_strangers_open_no_connection(app: ASGIApp, headers: dict[str, str], status: int) -> None:
    assert open_connection(app, {"host": "localhost:8501"} | headers) == status


def test_nothing_is_told_to_others(app: ASGIApp) -> None:
    assert config.get_option("browser.gatherUsageStats") is False
    assert config.get_option("client.showErrorDetails") == "none"
    assert config.get_option("server.fileWatcherType") == "none"
    assert ask(app, "GET", "/_stcore/host-config").json()["allowedOrigins"] == []


def test_an_open_address_needs_keys() -> None:
    with pytest.raises(ApiKeysError, match=r"POLLUX_DASHBOARD_HOST to 127\.0\.0\.1"):
        run(Settings(dashboard_host="0.0.0.0", api_keys=""))


def open_connection(app: ASGIApp, headers: dict[str, str]) -> int:
    """The status with which the app refuses a WebSocket."""
    sent: list[Message] = []
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/_stcore/stream",
        "raw_path": b"/_stcore/stream",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}},
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["type"] == "websocket.http.response.start"
    status: int = sent[0]["status"]
    return status
