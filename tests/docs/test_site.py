"""The documentation's site, as `make docs` writes it and a reader opens it."""

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.conftest import PROJECT_DIR
from tests.support.browser import Page, browse

pytestmark = pytest.mark.endurance

CHROMIUM = shutil.which("chromium")
MKDOCS = yaml.unsafe_load((PROJECT_DIR / "mkdocs.yml").read_text())
SITE = PROJECT_DIR / MKDOCS["site_dir"]


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each."""

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the site, made anew and served."""
    done = subprocess.run(
        [shutil.which("make") or "make", "--silent", "docs"],
        cwd=PROJECT_DIR,
        env=os.environ | {"POLLUX_DATA_DIR": str(tmp_path_factory.mktemp("data"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "http.server" in done.stdout
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=SITE))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no Chromium to open the site with")
    with browse(CHROMIUM, tmp_path) as page:
        yield page


def assert_quiet(page: Page, site: str) -> None:
    """Nothing wrong on the console, and nothing asked for elsewhere."""
    assert page.errors == []
    own = urlsplit(site).netloc
    urls = [urlsplit(url) for url in page.requests]
    assert [
        url.geturl() for url in urls if url.scheme.startswith("http") and url.netloc != own
    ] == []
    assert len(urls) > 1


def paths(nav: list[object]) -> Iterator[str]:
    """What the navigation leads to."""
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            if isinstance(value, list):
                yield from paths(value)
            else:
                yield value


def test_pages_open_without_errors_or_requests_elsewhere(page: Page, site: str) -> None:
    for path in ("dbt/", *paths(MKDOCS["nav"])):
        url = path.removesuffix("index.md").removesuffix(".md")
        page.open(f"{site}/{url}", until="document.readyState === 'complete'")
        assert page.evaluate("document.title.includes('404')") is False, path
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert page.evaluate(broken) == [], path
    assert_quiet(page, site)


def test_search_finds_a_setting(page: Page, site: str) -> None:
    page.open(f"{site}/?q=POLLUX_COUPON_THRESHOLD", until=FOUND)
    first = page.evaluate("document.querySelector('.md-search-result__link').href")
    assert first.startswith(f"{site}/settings/")
    assert_quiet(page, site)


FOUND = "document.querySelectorAll('.md-search-result__link').length > 0"


def test_dbt_docs_show_a_mart_with_its_columns(page: Page, site: str) -> None:
    """Reached from the start page's navigation; rendered from the one file, without a server."""
    page.open(f"{site}/", until="document.readyState === 'complete'")
    link = page.evaluate(
        "[...document.links].find(a => /Marts and columns/.test(a.textContent)).href"
    )
    assert link.startswith(f"{site}/dbt/")
    page.open(
        f"{link}#!/model/model.pollux.hh_summary",
        until="document.body.innerText.includes('income_50K_plus')",
    )
    assert_quiet(page, site)


def test_readme_and_decisions_are_pages(page: Page, site: str) -> None:
    page.open(f"{site}/", until="document.readyState === 'complete'")
    readme = page.evaluate("document.querySelector('article').innerText")
    assert "make run" in readme
    links = page.evaluate("[...document.querySelectorAll('article a')].map(a => a.href)")
    assert f"{site}/DECISIONS/" in links
    assert f"{site}/settings/" in links
    code = [link for link in links if link.endswith("/models/marts/household/hh_summary.sql")]
    assert [urlsplit(link).netloc for link in code] == ["github.com"]
