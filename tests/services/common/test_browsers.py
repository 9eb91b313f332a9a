"""What browsers may do: under which names a service answers, and whose pages may call it."""

import hashlib
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from pollux.runtime.hosts import AllowedHosts
from pollux.runtime.settings import Settings
from services.openapi.documents import apps
from tests.support.asgi import ask

URL = "postgresql://nobody@127.0.0.1:1/nothing"
KEY = "a key"
ORIGIN = "https://shop.example"


def settings_with(**values: Any) -> Settings:
    hashed = hashlib.sha256(KEY.encode()).hexdigest()
    return Settings(**{"database_url": URL, "api_keys": hashed} | values)


APPS = apps(settings_with(cors_origins=ORIGIN))


@pytest.fixture(scope="module", params=APPS)
def app(request: pytest.FixtureRequest) -> FastAPI:
    return APPS[request.param]


@pytest.mark.parametrize("path", ["/healthz", "/v1/members"])
def test_no_service_answers_under_a_strangers_name(app: FastAPI, path: str) -> None:
    headers = {"Host": "evil.example", "Authorization": f"Bearer {KEY}"}
    answer = ask(app, "GET", path, headers=headers)
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:pollux:problem:unknown-host"
    assert answer.json()["detail"] == (
        "This installation does not answer as evil.example. If that is a name of its own, add it "
        "to POLLUX_ALLOWED_HOSTS."
    )


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "10.1.2.3:8000", "[::1]:8000"])
def test_every_service_answers_under_local_names_and_addresses(app: FastAPI, host: str) -> None:
    assert ask(app, "GET", "/healthz", headers={"Host": host}).status_code == 200


def test_a_preflight_needs_no_key(app: FastAPI) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,if-none-match",
    }
    answer = ask(app, "OPTIONS", "/v1/vouchers/select", headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_pages_of_the_origin_read_answers_and_problems(app: FastAPI) -> None:
    for path, status in (("/healthz", 200), ("/v1/members", 401)):
        answer = ask(app, "GET", path, headers={"Origin": ORIGIN})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        exposed = set(answer.headers["access-control-expose-headers"].split(", "))
        assert {"ETag", "X-Pollux-Release", "Retry-After"} <= exposed


@pytest.mark.parametrize(
    ("origin", "method", "refused"),
    [
        ("https://evil.example", "GET", "origin"),
        ("null", "GET", "origin"),
        ("http://shop.example", "GET", "origin"),
        (ORIGIN, "DELETE", "method"),
    ],
)
def test_a_refused_preflight_says_which_setting(
    app: FastAPI, origin: str, method: str, refused: str
) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    answer = ask(app, "OPTIONS", "/v1/households", headers=asked)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:pollux:problem:cors-refused"
    assert answer.json()["detail"] == (
        f"Not allowed: {refused}. POLLUX_CORS_ORIGINS names the origins; their pages may send GET, "
        "HEAD, POST with Authorization, If-None-Match and Content-Type."
    )
    if refused == "origin":
        assert "access-control-allow-origin" not in answer.headers


def test_without_the_setting_no_page_reads_an_answer() -> None:
    app = apps(settings_with())["scoring"]
    answer = ask(app, "GET", "/healthz", headers={"Origin": ORIGIN})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "host", "is_allowed"),
    [
        ({}, "LOCALHOST:8000", True),
        ({}, "app.localhost", True),
        ({}, "localhost.", True),
        ({}, "127.0.0.1", True),
        ({}, "[::1]", True),
        ({}, "localhost.evil.example", False),
        ({}, "127.0.0.1.evil.example", False),
        ({}, "evil.example:8000", False),
        ({}, "localhost@evil.example", False),
        ({}, "localhost, evil.example", False),
        ({}, "", False),
        ({}, "a." * 200 + "localhost", False),
        ({"api_host": "pollux.lan"}, "pollux.lan:8000", True),
        ({"scoring_url": "http://scorer:8001"}, "scorer:8001", True),
        ({"allowed_hosts": "Shop.example, *.lan"}, "shop.example", True),
        ({"allowed_hosts": "shop.example, *.lan"}, "a.b.lan:443", True),
        ({"allowed_hosts": "shop.example, *.lan"}, "lan", False),
        ({"allowed_hosts": "shop.example, *.lan"}, "evillan", False),
        ({"allowed_hosts": "shop.example"}, "www.shop.example", False),
        ({"allowed_hosts": "*"}, "evil.example", True),
    ],
)
def test_which_hosts_are_the_installations(
    settings: dict[str, str], host: str, is_allowed: bool
) -> None:
    allowed = AllowedHosts(settings_with(**settings))
    # The second time it is remembered.
    for _ in range(2):
        assert allowed.allows(host.encode("latin-1")) is is_allowed


@pytest.mark.parametrize("text", ["https://shop.example", "shop.example:8000", "a b", "*.", "**"])
def test_what_is_no_host_name_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(allowed_hosts=f"localhost,{text}")
    assert (
        f"{text} is not a host name such as shop.example or *.shop.example, without scheme and port"
    ) in str(error.value)


@pytest.mark.parametrize(
    "text", ["shop.example", "https://shop.example/", "https://shop.example/a", "https://*.example"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(cors_origins=text)
    assert (
        f"{text} is not an origin such as https://shop.example or http://localhost:5173, without a "
        "path"
    ) in str(error.value)


def test_origins_are_compared_as_browsers_write_them() -> None:
    given = "HTTPS://Shop.example:443, http://localhost:5173,"
    assert Settings(cors_origins=given).cors_origins == "https://shop.example,http://localhost:5173"
