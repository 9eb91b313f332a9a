"""Who may ask Dagster's page, and by which requests something is changed."""

import asyncio
import json
from typing import Any

import pytest

from orchestration.instance.web_guard import Guard
from pollux.runtime.hosts import AllowedHosts
from pollux.runtime.settings import Settings

HOST = "127.0.0.1:3000"
JSON = {"Content-Type": "application/json"}
PASSED = 204


def ask(
    method: str,
    path: str = "/",
    headers: dict[str, str] | None = None,
    *,
    kind: str = "http",
    allowed_hosts: str = "",
) -> tuple[int, dict[str, Any]]:
    """Status and problem of an answer; PASSED if the request comes through."""
    sent: list[dict[str, Any]] = []

    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": PASSED, "headers": []})

    async def receive() -> Any:
        return {"type": f"{kind}.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    written = {"Host": HOST} | (headers or {})
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": [(k.lower().encode(), v.encode()) for k, v in written.items()],
    }
    guard = Guard(page, AllowedHosts(Settings(allowed_hosts=allowed_hosts)))
    asyncio.run(guard(scope, receive, send))
    if sent[0]["type"] == "websocket.close":
        return sent[0]["code"], {}
    body = json.loads(sent[1]["body"]) if len(sent) > 1 and sent[1]["body"] else {}
    if body:
        assert dict(sent[0]["headers"])[b"content-type"] == b"application/problem+json"
        assert body["status"] == sent[0]["status"]
    return sent[0]["status"], body


@pytest.mark.parametrize("host", [HOST, "localhost:3000", "[::1]:3000", "10.0.0.7:3000"])
def test_the_page_itself_may_ask_and_change(host: str) -> None:
    own = {"Host": host, "Origin": f"http://{host}"}
    assert ask("GET", "/runs", {"Host": host})[0] == PASSED
    assert ask("POST", "/graphql", own | JSON)[0] == PASSED
    assert ask("GET", "/graphql", own, kind="websocket")[0] == PASSED


def test_programs_send_no_origin_and_may_ask_and_change() -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert ask("POST", "/graphql", kind)[0] == PASSED
    assert ask("POST", "/report_asset_materialization/a", JSON)[0] == PASSED


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "https://evil.example:3000", "null", "http://127.0.0.1:8080",
        "http://localhost:3000", "http://6.6.6.6", "127.0.0.1:3000", "", "http://[",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_page_of_another_origin_is_refused(origin: str, kind: str) -> None:
    headers = JSON | {"Origin": origin}
    for method in ("GET", "POST") if kind == "http" else ("GET",):
        status, problem = ask(method, "/graphql", headers, kind=kind)
        assert status == (403 if kind == "http" else 1008)
        if problem:
            assert problem["detail"] == (
                f"Pages of {origin} may not call Dagster's. If a proxy shows Dagster's page there, "
                "add its name to POLLUX_ALLOWED_HOSTS."
            )


def test_a_strangers_name_for_this_machine_is_refused() -> None:
    status, problem = ask("GET", "/", {"Host": "evil.example:3000"})
    assert status == 421
    assert problem["detail"] == (
        "Dagster's page does not answer as evil.example:3000. If that is a name of this "
        "installation, add it to POLLUX_ALLOWED_HOSTS."
    )
    same = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert ask("POST", "/graphql", same | JSON)[0] == 421
    assert ask("GET", "/graphql", same, kind="websocket")[0] == 1008


def test_a_proxy_of_a_known_name_may_show_the_page() -> None:
    shown = {"Origin": "https://pollux.example"} | JSON
    # It passes Host on, or puts its own address there.
    for host in ("pollux.example", HOST):
        headers = shown | {"Host": host}
        assert ask("POST", "/graphql", headers, allowed_hosts="pollux.example")[0] == PASSED
        assert ask("POST", "/graphql", headers, allowed_hosts="*")[0] == (
            PASSED if host == "pollux.example" else 403
        )


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_graphql_runs_nothing_for_a_get(method: str, path: str) -> None:
    status, problem = ask(method, path, {"Accept": "image/avif,*/*"})
    assert status == 405
    if method != "HEAD":
        assert problem["detail"] == "GraphQL is asked by POST, with JSON."
    # The form, as a person opens it.
    assert ask(method, path, {"Accept": "text/html,application/xhtml+xml"})[0] == PASSED


@pytest.mark.parametrize(
    "kind",
    [
        None, "text/plain", "application/x-www-form-urlencoded", "application/graphql",
        "text/plain; application/json", "application/jsonp", "text/plain, application/json",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/a"])
def test_what_browsers_send_to_strangers_unasked_changes_nothing(
    kind: str | None, path: str
) -> None:
    status, problem = ask("POST", path, {} if kind is None else {"Content-Type": kind})
    assert status == 415
    assert problem["detail"] == "Send JSON: Content-Type: application/json."
