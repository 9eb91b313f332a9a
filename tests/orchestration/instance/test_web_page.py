"""Dagster's page as a program: read-only, and behind the proxy of docs/dagster.md."""

import asyncio
import json
import os
import re
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from pollux.runtime.broker_access import Certificates
from pollux.runtime.certificates import make_certificates
from tests.conftest import PROJECT_DIR
from tests.support.programs import free_port, is_ok, is_open, running, serving

pytestmark = pytest.mark.endurance

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NAME = "dagster.example.org"
SIGNED_ON = {"Cookie": "session=anna"}
ORIGIN = {"Origin": f"https://{NAME}"}
CODE = """
import dagster as dg

@dg.asset
def made():
    pass

@dg.schedule(cron_schedule="0 5 * * *", target=[made])
def daily(context):
    pass

defs = dg.Definitions(assets=[made], schedules=[daily])
"""
LAUNCH = """
mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "code",
    repositoryName: "__repository__", jobName: "__ASSET_JOB"},
  mode: "default"
}) { __typename } }
"""
START = """
mutation { startSchedule(scheduleSelector: {
  repositoryLocationName: "code", repositoryName: "__repository__", scheduleName: "daily"
}) { __typename } }
"""
RUNS = "query { runsOrError { ... on Runs { results { id } } } }"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page that is read-only, over a code location with an asset."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (folder / "made_up.py").write_text(CODE)
    file = {"relative_path": "made_up.py", "location_name": "code"}
    (folder / "workspace.yaml").write_text(json.dumps({"load_from": [{"python_file": file}]}))
    port = free_port()
    settings = {"POLLUX_DAGSTER_READ_ONLY": "true", "POLLUX_ALLOWED_HOSTS": NAME}
    url = f"http://127.0.0.1:{port}"
    with running(
        [sys.executable, "-m", "orchestration.instance.web_page"]
        + ["--workspace", str(folder / "workspace.yaml")]
        + ["--host", "127.0.0.1", "--port", str(port)],
        lambda: is_ok(f"{url}/server_info"),
        log=folder / "log",
        seconds=300,
        env=os.environ | settings | {"DAGSTER_HOME": str(folder), "PYTHONPATH": str(PROJECT_DIR)},
        cwd=folder,
    ):
        yield url


def graphql(url: str, query: str, **more: Any) -> dict[str, Any]:
    answer = httpx.post(f"{url}/graphql", json={"query": query}, timeout=30, **more)
    found: dict[str, Any] = answer.json()
    return found


def test_a_read_only_page_shows_everything_and_changes_nothing(page: str) -> None:
    assert graphql(page, RUNS)["data"]["runsOrError"]["results"] == []
    for mutation in (LAUNCH, START):
        (outcome,) = graphql(page, mutation)["data"].values()
        assert outcome == {"__typename": "UnauthorizedError"}
    reported = httpx.post(f"{page}/report_asset_materialization/made", json={})
    assert reported.status_code == 401
    assert graphql(page, RUNS)["data"]["runsOrError"]["results"] == []


class Identity(BaseHTTPRequestHandler):
    """Stands for oauth2-proxy: who has its cookie has signed on."""

    def do_GET(self) -> None:
        if self.path == "/oauth2/auth":
            self._answer(202 if self.headers["Cookie"] == SIGNED_ON["Cookie"] else 401, b"")
        else:
            wanted = self.headers.get("X-Auth-Request-Redirect", "")
            self._answer(403, f"Sign on for {wanted}".encode())

    do_POST = do_GET  # noqa: N815

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(folder: Path, page: str, identity: int) -> Iterator[int]:
    """The port of nginx with the page's own example, but for its ports and its certificate."""
    (example,) = re.findall(
        r"```nginx\n(.*?)```", (PROJECT_DIR / "docs/dagster.md").read_text(), re.DOTALL
    )
    certificates = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    make_certificates(certificates)
    port = free_port()
    for written, here in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/certs/dagster.pem": str(certificates.server),
        "/etc/ssl/private/dagster.key": str(certificates.key),
        "http://127.0.0.1:3000;": f"{page};",
        "http://127.0.0.1:4180;": f"http://127.0.0.1:{identity};",
    }.items():
        assert written in example
        example = example.replace(written, here)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} pid {folder}/pid; error_log {folder}/log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{example}}}\n"
    )
    assert NGINX is not None
    command = [NGINX, "-p", folder, "-e", folder / "log", "-c", folder / "nginx.conf"]
    with running(command, lambda: is_open(port), log=folder / "log"):
        yield port


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_the_proxy_of_the_page_lets_in_who_has_signed_on(page: str, tmp_path: Path) -> None:
    with serving(Identity) as identity, proxy(tmp_path, page, identity) as port:
        with httpx.Client(
            base_url=f"https://127.0.0.1:{port}", verify=False, headers={"Host": NAME}
        ) as client:
            check_requests(client)
        asyncio.run(check_websocket(port))


def check_requests(client: httpx.Client) -> None:
    stranger = client.get("/runs?status=failed")
    assert (stranger.status_code, stranger.text) == (403, "Sign on for /runs?status=failed")
    asked = {"query": RUNS}
    assert client.post("/graphql", json=asked).status_code == 403
    assert client.post("/graphql", json=asked, headers={"Cookie": "session="}).status_code == 403
    assert client.get("/oauth2/auth", headers=SIGNED_ON).status_code == 404

    shown = client.get("/runs", headers=SIGNED_ON)
    assert shown.status_code == 200
    assert "<html" in shown.text
    own = client.post("/graphql", json=asked, headers=SIGNED_ON | ORIGIN)
    assert own.json()["data"] == {"runsOrError": {"results": []}}
    # Signed on as they are, another page in the same browser gets nothing.
    other = client.post(
        "/graphql", json=asked, headers=SIGNED_ON | {"Origin": "https://evil.example"}
    )
    assert other.status_code == 403
    assert "may not call Dagster" in other.json()["detail"]
    assert client.get("/", headers=SIGNED_ON | {"Host": "evil.example"}).status_code == 421


async def check_websocket(port: int) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def connect(cookie: dict[str, str]) -> str:
        async with websockets.connect(
            f"wss://{NAME}/graphql",
            host="127.0.0.1",
            port=port,
            ssl=trusting,
            origin=websockets.Origin(ORIGIN["Origin"]),
            additional_headers=cookie,
            subprotocols=[websockets.Subprotocol("graphql-ws")],
        ) as connection:
            await connection.send(json.dumps({"type": "connection_init"}))
            return str(json.loads(await connection.recv())["type"])

    assert await connect(SIGNED_ON) == "connection_ack"
    with pytest.raises(websockets.InvalidStatus, match="403"):
        await connect({})
