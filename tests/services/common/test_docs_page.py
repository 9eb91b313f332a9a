"""The page `/docs` of every service: whole without the internet, and with keys."""

import hashlib
import re
import shutil
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from pollux.runtime.settings import Settings
from services.openapi.documents import apps
from tests.services.api.support import client_of
from tests.support.asgi import ask
from tests.support.browser import Page, browse

KEY = "5f" * 16
SETTINGS = Settings(
    database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"),
    api_keys=hashlib.sha256(KEY.encode()).hexdigest(),
)
APPS = apps(SETTINGS)
CHROMIUM = shutil.which("chromium")


def get(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    return ask(app, "GET", path, headers=headers)


@pytest.mark.parametrize("prefix", ["", "/tools/pollux"])
@pytest.mark.parametrize("name", APPS)
def test_the_page_names_no_other_server_and_needs_no_key(name: str, prefix: str) -> None:
    told = {"X-Forwarded-Prefix": prefix} if prefix else {}
    page = get(APPS[name], "/docs", **told)
    assert page.status_code == 200
    assert APPS[name].title in page.text
    named = re.findall(r"""(?:src=|href=|url: )["']([^"']+)["']""", page.text)
    assert len(named) == 4
    for address in named:
        assert re.fullmatch(rf"{prefix}/[a-z-./]+", address), address
        answer = get(APPS[name], address.removeprefix(prefix), **told)
        assert answer.status_code == 200, address
        assert len(answer.content) > 1000
    assert "//" not in re.sub(r"^.*<!--.*$", "", page.text, flags=re.MULTILINE)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert get(APPS[name], "/metrics").status_code == 401


def click(page: Page, selector: str) -> None:
    page.wait(f"document.querySelector({selector!r}) !== null")
    page.evaluate(f"document.querySelector({selector!r}).click()")


@pytest.mark.integration
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
def test_a_person_sees_every_operation_and_tries_one_with_a_key(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    with browse(CHROMIUM, tmp_path) as page:
        for name, app in APPS.items():
            operations = sum(map(len, app.openapi()["paths"].values()))
            with client_of(app) as client:
                page.open(
                    f"http://127.0.0.1:{client.base_url.port}/docs",
                    until=f"document.querySelectorAll('.opblock').length === {operations}",
                )
                assert page.errors == [], name
                if name == "scoring":
                    try_metrics(page)
                urls = [httpx.URL(url) for url in page.requests if not url.startswith("data:")]
                assert {(url.host, url.port) for url in urls} == {
                    ("127.0.0.1", client.base_url.port)
                }
                page.requests.clear()


def try_metrics(page: Page) -> None:
    """Asks for metrics without a key, enters one, and asks again."""
    block = "[id$='-read_metrics']"
    status = f'document.querySelector("{block} .live-responses-table tbody .response-col_status")'
    click(page, f"{block} .opblock-summary-control")
    click(page, f"{block} .try-out__btn")
    click(page, f"{block} .execute")
    page.wait(f"{status}?.innerText.startsWith('401')")
    page.errors.clear()
    click(page, ".auth-wrapper .authorize")
    page.wait("document.querySelector('.auth-container input') !== null")
    # React hears of a value only through the setter of the element's own class.
    page.evaluate(
        "{ const input = document.querySelector('.auth-container input');"
        "Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')"
        f".set.call(input, '{KEY}');"
        "input.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    click(page, ".auth-container .auth-btn-wrapper .authorize")
    click(page, ".auth-container .btn-done")
    click(page, f"{block} .execute")
    page.wait(f"{status}?.innerText.startsWith('200')")
    assert page.errors == []
