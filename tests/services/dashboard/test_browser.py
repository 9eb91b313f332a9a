"""The dashboard in a browser, over running services that want a key."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest
import streamlit as st

from pollux.runtime.live_models import LiveModels
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.dashboard import data, words
from services.dashboard.client import Client
from services.dashboard.pages import PAGES
from services.live import app as live
from tests.conftest import PROJECT_DIR
from tests.services.api.support import client_of
from tests.services.dashboard.drawn import address, wait_until_quiet
from tests.services.dashboard.support import open_page
from tests.services.openapi.support import KEY, running_services
from tests.support.browser import Page, browse
from tests.support.installations import Prepared
from tests.support.programs import free_port, is_ok, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

CHROMIUM = shutil.which("chromium")
AXE = "axe-core@4.11"
# Those that hold most.
MOST_OPEN = ("household", "segments", "campaigns", "recommendations", "quality")
MOST_MEBIBYTES = 300
# What a shell says of a process that SIGTERM ended.
TERMINATED = 143
# Of the background, from 0 to 255.
BRIGHTNESS = (
    "Math.max(...getComputedStyle(document.querySelector('.stApp'))"
    ".backgroundColor.match(/\\d+/g).slice(0, 3))"
)
SERIOUS = """
axe.run(document, {resultTypes: ['violations']}).then(found => found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .map(one => one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200)).join(' | ')))
"""


class Site(NamedTuple):
    """A dashboard that runs, the services that it asks, and their installation."""

    url: str
    urls: dict[str, str]
    settings: Settings
    pid: int

    def memory(self) -> float:
        """Mebibytes of the dashboard's process, and of any that it started."""
        process = psutil.Process(self.pid)
        every = [process, *process.children(recursive=True)]
        return sum(one.memory_info().rss for one in every) / 2**20

    def address(self, path: str) -> str:
        return self.url + address(path)

    def requests(self) -> float:
        """How many requests the API has answered, but for those of this method."""
        headers = {"Authorization": f"Bearer {KEY}"}
        text = httpx.get(f"{self.urls['api']}/metrics", headers=headers).text
        counts = re.findall(r"^\w+_requests_total\{(.*)\} (\S+)$", text, re.MULTILINE)
        assert counts
        return sum(float(count) for labels, count in counts if '"/metrics"' not in labels)


@pytest.fixture(scope="module")
def site(
    prepared: Prepared, trained_store: tuple[Settings, object], short_tmp: Path
) -> Iterator[Site]:
    folder = short_tmp / "dashboard"
    with running_services(prepared, trained_store[0], folder) as urls:
        port = free_port()
        environment = os.environ | {
            "POLLUX_DATA_DIR": str(folder),
            "POLLUX_API_URL": urls["api"],
            "POLLUX_EVENTS_URL": urls["events"],
            "POLLUX_SCORING_URL": urls["scoring"],
            "POLLUX_DASHBOARD_PORT": str(port),
        }
        command = [sys.executable, "-m", "cli.main", "serve", "dashboard"]
        process = subprocess.Popen(command, env=environment, cwd=PROJECT_DIR)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: is_ok(f"{url}/healthz"), 60)
            yield Site(url, dict(urls), Settings(data_dir=folder), process.pid)
        finally:
            process.terminate()
            assert process.wait(timeout=30) == TERMINATED


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("no chromium")
    with browse(CHROMIUM, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(site: Site, browser: Page) -> Iterator[Page]:
    """A tab of a browser that has the dashboard: a new one reads and compiles it for seconds."""
    with browser.tab() as page:
        page.resize(1400, 900)
        yield page


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script that finds what keeps people from using a page."""
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "pack", AXE, "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=folder)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"no axe-core: npm pack {AXE}")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def open_with_key(page: Page, address: str) -> None:
    """Opens an address, types the key, and waits until the page is shown.

    Where the database took too long to answer, which other tests can make it, it is opened again,
    as the page says.
    """
    asks = "!!document.querySelector('input[type=password]')"
    is_late = "document.body.innerText.includes('Try again in a moment.')"
    deadline = time.monotonic() + 60
    page.open(address, until=f"{asks} || {is_late}")
    while page.evaluate(is_late):
        assert time.monotonic() < deadline
        page.open(address, until=f"{asks} || {is_late}")
    page.evaluate("document.querySelector('input[type=password]').focus()")
    page.type(KEY)
    page.wait("!document.querySelector('input[type=password]')")
    wait_until_quiet(page)


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("path", [one.PATH for one in PAGES])
def test_a_page_opens_without_a_fault(site: Site, page: Page, path: str, width: int) -> None:
    page.resize(width, 900)
    before, began = site.requests(), time.monotonic()
    open_with_key(page, site.address(path))
    assert page.evaluate("document.querySelectorAll('[data-testid=stException]').length") == 0
    assert page.errors == []
    own = (site.url, site.url.replace("http:", "ws:"), "data:", "blob:")
    assert [url for url in page.requests if not url.startswith(own)] == []
    # Nothing is wider than the window.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Parts that are live go on asking.
    assert 1 < site.requests() - before <= 20 + 2 * (time.monotonic() - began)


@pytest.mark.parametrize("path", [one.PATH for one in PAGES])
def test_a_page_has_no_serious_fault_for_people_with_disabilities(
    site: Site, page: Page, axe: str, path: str
) -> None:
    page.prefer("light")
    open_with_key(page, site.address(path))
    page.evaluate(f"{axe}; true")
    for scheme, is_shown in (("light", f"{BRIGHTNESS} > 200"), ("dark", f"{BRIGHTNESS} < 50")):
        page.prefer(scheme)
        page.wait(is_shown)
        wait_until_quiet(page)
        assert page.evaluate(SERIOUS) == [], scheme


def test_five_open_pages_fit_into_their_memory(site: Site, page: Page) -> None:
    with ExitStack() as tabs:
        opened = [tabs.enter_context(page.tab()) for _ in MOST_OPEN]
        for tab, path in zip(opened, MOST_OPEN, strict=True):
            open_with_key(tab, site.address(path))
        # All are there still, each with a session of its own.
        for tab in opened:
            assert tab.evaluate("!!document.querySelector('h1')")
            assert tab.errors == []
        used = site.memory()
    assert used <= MOST_MEBIBYTES, f"{used:.0f} MiB"


@pytest.fixture
def live_rows(site: Site) -> Iterator[None]:
    """The process that computes live rows, in this one."""
    store = open_serving_store(site.settings)
    topic = "pollux/segment-changed"
    app = live.create_app(site.settings, store, LiveModels, segment_topic=topic)
    with client_of(app) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200, 60)
        yield


def test_pages_that_are_open_follow_a_purchase(site: Site, live_rows: None, page: Page) -> None:
    households = ask(f"{site.urls['api']}/v1/households", r_score="1", sort="-household_key")
    household = households["data"][0]
    key = household["household_key"]
    product = ask(f"{site.urls['api']}/v1/households/products", department="GROCERY")["data"][0]
    open_with_key(page, site.url)
    with page.tab() as other:
        open_with_key(other, f"{site.url}/household?household={key}")
        before = other.evaluate("document.querySelector('h2').innerText")
        line = {"product_id": product["product_id"], "quantity": 1, "sales_value": 12}
        basket = {"household_key": key, "basket_id": 99_000_000_001, "day": 708, "lines": [line]}
        headers = {"Authorization": f"Bearer {KEY}"}
        path = f"{site.urls['events']}/v1/purchases"
        assert httpx.post(path, json=basket, headers=headers).status_code == 200
        other.wait("document.body.innerText.includes('Newer than the release')")
        wait_until_quiet(other)
        assert other.evaluate("document.querySelector('h2').innerText") != before
        text = other.evaluate("document.body.innerText")
        assert f"${float(household['total_sales']) + 12:,.0f}" in text
        assert other.errors == []
    page.wait("/Baskets, last hour\\s+1\\s+\\$12/.test(document.body.innerText)")
    page.wait("/Households ahead\\s+1/.test(document.body.innerText)")
    assert "Up to date" in page.evaluate("document.body.innerText")
    # Whoever moved, chosen, is shown.
    page.wait("document.querySelectorAll('[data-testid=stDataFrame]').length > 1")
    assert page.errors == []
    choose_row(page, 0, 0)
    page.wait(f"location.pathname + location.search === '/household?household={key}'")


def test_from_a_segment_to_a_list_to_a_household(site: Site, page: Page) -> None:
    open_with_key(page, f"{site.url}/segments")
    choose_row(page, 0, 2)
    page.wait("new URL(location).searchParams.get('segment') !== null")
    wait_until_quiet(page)
    segment = page.evaluate("new URL(location).searchParams.get('segment')")
    path = f"{site.urls['api']}/v1/segments/{segment}/households"
    households = ask(path, sort="-total_sales")["data"]
    assert households
    choose_row(page, 1, 0)
    page.wait("location.pathname === '/household'")
    wait_until_quiet(page)
    assert page.evaluate("location.search") == f"?household={households[0]['household_key']}"
    text = page.evaluate("document.body.innerText")
    assert f"{segment}, since {words.day(households[0]['since_date'])}" in text


@pytest.mark.parametrize(
    ("path", "table", "parameter"),
    [
        ("household", 0, "household"),
        ("campaigns?campaign=18", 2, "campaign"),
        ("recommendations", 0, "household"),
    ],
)
def test_a_row_of_a_list_is_shown_and_named_in_the_address(
    site: Site, page: Page, path: str, table: int, parameter: str
) -> None:
    open_with_key(page, f"{site.url}/{path}")
    named = f"new URL(location).searchParams.get('{parameter}')"
    before = page.evaluate(named)
    choose_row(page, table, 1)
    page.wait(f"{named} !== {json.dumps(before)}")
    wait_until_quiet(page)
    assert page.evaluate(named).isdigit()
    assert page.evaluate("document.querySelectorAll('[data-testid=stException]').length") == 0


def test_a_list_is_saved_as_the_api_writes_it(site: Site, page: Page, tmp_path: Path) -> None:
    page.save_downloads(tmp_path / "saved")
    open_with_key(page, f"{site.url}/segments?segment=Champions")
    page.evaluate("document.querySelector('[data-testid=stDownloadButton] button').click()")
    saved = tmp_path / "saved" / "Champions.csv"
    wait_for(saved.exists)
    path = f"{site.urls['api']}/v1/segments/Champions/households"
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "text/csv"}
    answer = httpx.get(path, params={"sort": "-total_sales"}, headers=headers)
    assert saved.read_bytes() == answer.content
    assert answer.content.count(b"\n") > 2


def test_the_key_stays_in_the_session(site: Site, page: Page) -> None:
    open_with_key(page, site.url)
    kept = (
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    )
    assert KEY not in page.evaluate(kept)
    assert not any(KEY in url for url in page.requests)
    # Another session has none.
    page.open(site.url, until="!!document.querySelector('input[type=password]')")


def test_figures_are_those_of_the_database(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(Settings(api_url=site.urls["api"]))
    monkeypatch.setattr(data, "client", lambda: client)
    monkeypatch.setattr(data, "key", lambda: KEY)
    st.cache_data.clear()

    def one(sql: str) -> Any:
        with open_serving_store(site.settings).connect() as connection:
            (value,) = connection.execute(sql).fetchone() or (None,)
            return value

    household = open_page("household", household=1)
    metrics = {metric.label: metric.value for metric in household.metric}
    rfm = "from household.household_rfm where household_key = 1"
    assert metrics["Sales"] == f"${one(f'select total_sales {rfm}'):,.0f}"
    assert metrics["Baskets"] == f"{one(f'select baskets {rfm}'):,}"
    last = one(f"select last_date {rfm}")
    assert metrics["Last visit"] == f"{last.day} {last:%b %Y}"
    segment = one("select segment from household.household_segments where household_key = 1")
    assert household.header[0].value.startswith(f"{segment}, since ")
    basket = next(table.value for table in household.dataframe if "reason" in table.value)
    recommended = "from household.product_recommendations where household_key = 1"
    assert len(basket) == min(10, one(f"select count(*) {recommended}"))
    history = household.dataframe[-1].value
    periods = "from household.household_segment_history where household_key = 1"
    assert history["total_sales"].max() == float(one(f"select max(total_sales) {periods}"))

    sizes, champions = (table.value for table in open_page("segments").dataframe)
    segments = "from household.household_segments"
    assert sizes["households"].sum() == one(f"select count(*) {segments}")
    assert round(sizes["total_sales"].sum(), 2) == float(one(f"select sum(total_sales) {segments}"))
    assert len(champions) == one(f"select count(*) {segments} where segment = 'Champions'")

    releases = {metric.label: metric.value for metric in open_page("today").metric}
    number = one("select number from release.current where domain = 'household'")
    assert releases["Households"] == f"Release {number}"


def choose_row(page: Page, table: int, row: int) -> None:
    """Chooses a row of a table by its box at the left."""
    found = f"document.querySelectorAll('[data-testid=stDataFrame]')[{table}]"
    page.wait(f"!!{found}?.querySelector('canvas')")
    page.evaluate(f"{found}.scrollIntoView({{block: 'center'}})")
    corner = f"(box => JSON.stringify([box.x, box.y]))({found}.getBoundingClientRect())"
    place, before = page.evaluate(corner), ""
    while place != before:
        time.sleep(0.5)
        place, before = page.evaluate(corner), place
    x, y = json.loads(place)
    page.click(x + 16, y + 35 * (row + 1.5))


def ask(path: str, **parameters: str) -> dict[str, Any]:
    answer = httpx.get(path, params=parameters, headers={"Authorization": f"Bearer {KEY}"})
    found: dict[str, Any] = answer.json()
    return found
