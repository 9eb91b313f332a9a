"""The API as a process: releases that switch under load, a database that stops and comes back."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import psycopg
import pytest

from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.api.server import run
from services.common.api_keys import ApiKeysError
from services.common.port import PortError, check_port_is_free
from tests.services.api.support import (
    PROJECT_DIR,
    PROMISED_SECONDS,
    SERVE,
    client_of,
    drop_releases,
    embedded_store,
    make_schema_of_releases,
    problem,
    running_server,
    switch,
    wait_until,
    write_release,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def installation() -> Iterator[tuple[Settings, ServingStore]]:
    with embedded_store() as found:
        yield found


@pytest.fixture
def owner(installation: tuple[Settings, ServingStore]) -> Iterator[psycopg.Connection]:
    """The store with release 1, and nothing else."""
    _embedded(installation).use()
    with installation[1].connect(autocommit=True) as connection:
        drop_releases(connection)
        make_schema_of_releases(connection)
        write_release(connection, 1)
        switch(connection, 1)
        yield connection


@pytest.fixture(scope="module")
def api(installation: tuple[Settings, ServingStore]) -> Iterator[httpx.Client]:
    with running_server(installation[0]) as client:
        yield client


def _embedded(installation: tuple[Settings, ServingStore]) -> EmbeddedPostgres:
    embedded = installation[1].embedded
    assert embedded is not None
    return embedded


def _release_seen(client: httpx.Client, path: str = "/v1/households/1") -> str | None:
    answer = client.get(path)
    return answer.headers.get("x-pollux-release") if answer.status_code == 200 else None


def _shows(client: httpx.Client, release: str) -> None:
    wait_until(lambda: _release_seen(client) == release, seconds=10)


class Reader(threading.Thread):
    """Asks without a pause; keeps what it saw."""

    def __init__(self, base_url: str, path: str) -> None:
        super().__init__()
        self.base_url = base_url
        self.path = path
        self.stopped = threading.Event()
        self.seen: list[tuple[float, int]] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.base_url, timeout=120) as client:
            while not self.stopped.is_set():
                started = time.monotonic()
                try:
                    self._look(client.get(self.path), started)
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))

    def _look(self, answer: httpx.Response, started: float) -> None:
        if answer.status_code != 200:
            self.wrong.append(answer.text)
            return
        body = answer.json()
        rows = body.get("data", [body])
        inside = {row.get("redemptions", row.get("baskets")) for row in rows}
        number = int(answer.headers["x-pollux-release"].rpartition("-")[2])
        tagged = answer.headers["etag"].startswith(f'"household-{number}-')
        if inside != {number} or not tagged:
            self.wrong.append(f"release {number} with rows of {inside}")
        self.seen.append((started, number))


def test_a_switch_under_load_shows_no_error_and_no_mixture(
    owner: psycopg.Connection, api: httpx.Client
) -> None:
    _shows(api, "household-1")
    paths = ["/v1/households?limit=30", "/v1/households/1", "/v1/campaigns/18",
             "/v1/households?sort=-total_sales", "/v1/households/1/weekly-sales"]  # fmt: skip
    readers = [Reader(str(api.base_url), path) for path in paths]
    for reader in readers:
        reader.start()
    switched = {1: time.monotonic()}
    try:
        for number in range(2, 9):
            write_release(owner, number)
            # Every other time the old release goes at once, so that readers fall into the gap.
            switch(owner, number, drop=number - 1 if number % 2 else None)
            switched[number] = time.monotonic()
            time.sleep(0.4)
        switch(owner, 7)
        back = time.monotonic()
        time.sleep(PROMISED_SECONDS + 0.5)
    finally:
        for reader in readers:
            reader.stopped.set()
            reader.join()
    for reader in readers:
        assert reader.wrong == []
        assert {number for _, number in reader.seen} >= {1, 7, 8}
        for started, number in reader.seen:
            followed = switched.get(number + 1, back) if number < 8 else back
            if number != 7:
                assert started <= followed + PROMISED_SECONDS, f"{reader.path}: {number} too long"
        assert reader.seen[-1][1] == 7


def test_a_release_that_was_dropped_is_not_missed(
    owner: psycopg.Connection, api: httpx.Client
) -> None:
    _shows(api, "household-1")
    write_release(owner, 2)
    # No notification: the service finds the tables gone and looks again.
    with owner.transaction():
        owner.execute("drop schema household__r1 cascade")
        owner.execute("update release.current set number = 2")
    for path in ("/v1/households/7", "/v1/households/2/daily-spend", "/v1/campaigns/3"):
        assert _release_seen(api, path) == "household-2"


def test_rollback(owner: psycopg.Connection, api: httpx.Client) -> None:
    write_release(owner, 2)
    switch(owner, 2)
    _shows(api, "household-2")
    tag = api.get("/v1/households/1").headers["etag"]
    switch(owner, 1)
    _shows(api, "household-1")
    answer = api.get("/v1/households/1", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.json()["baskets"] == 1
    switch(owner, 2)
    _shows(api, "household-2")
    assert api.get("/v1/households/1", headers={"If-None-Match": tag}).status_code == 304


def test_nothing_released_yet(owner: psycopg.Connection, api: httpx.Client) -> None:
    for statement in ("delete from release.current", "drop schema release cascade"):
        owner.execute(statement)
        wait_until(lambda: api.get("/readyz").status_code == 503, seconds=10)
        for path in ("/readyz", "/v1/households/1", "/v1/campaigns", "/v1/households/1/summary"):
            wait_until(lambda path=path: "reach" not in api.get(path).text, seconds=10)
            answer = api.get(path)
            problem(answer, 503, "nothing-released")
            assert answer.headers["retry-after"]
        assert api.get("/healthz").status_code == 200
    drop_releases(owner)
    make_schema_of_releases(owner)
    write_release(owner, 1)
    switch(owner, 1)
    _shows(api, "household-1")


@pytest.mark.parametrize("kill", [False, True])
def test_the_database_goes_and_comes_back(
    owner: psycopg.Connection,
    api: httpx.Client,
    installation: tuple[Settings, ServingStore],
    kill: bool,
) -> None:
    embedded = _embedded(installation)
    _shows(api, "household-1")
    assert api.get("/v1/campaigns").status_code == 200
    owner.close()
    if kill:
        embedded.kill(signal.SIGKILL)
    else:
        embedded.stop()
    wait_until(lambda: api.get("/v1/campaigns").status_code == 503, seconds=PROMISED_SECONDS + 2)
    # What is in memory may no longer be current, so it is not answered either.
    for path in ("/v1/campaigns", "/v1/households/1", "/v1/households/3", "/readyz"):
        started = time.monotonic()
        answer = api.get(path)
        problem(answer, 503, "database-unavailable")
        assert answer.headers["retry-after"]
        assert "socket" not in answer.text
        assert time.monotonic() - started < 3
    assert api.get("/healthz").status_code == 200
    assert api.get("/metrics").status_code == 200
    # The first start after a kill may find its shared memory still held.
    wait_until(lambda: _comes_up(embedded), seconds=30)
    _shows(api, "household-1")
    assert api.get("/readyz").status_code == 200
    assert api.get("/v1/households/3").status_code == 200


def _comes_up(embedded: EmbeddedPostgres) -> bool:
    try:
        embedded.use()
    except Exception:
        return False
    return embedded.is_running()


def test_a_database_that_hangs_is_no_database(
    owner: psycopg.Connection, api: httpx.Client, installation: tuple[Settings, ServingStore]
) -> None:
    _shows(api, "household-1")
    assert api.get("/v1/campaigns").status_code == 200
    postmaster = int((_embedded(installation).cluster / "postmaster.pid").read_text().split()[0])
    processes = [psutil.Process(postmaster), *psutil.Process(postmaster).children()]
    try:
        for process in processes:
            process.suspend()
        wait_until(lambda: api.get("/v1/campaigns").status_code == 503, seconds=8)
    finally:
        for process in processes:
            process.resume()
    _shows(api, "household-1")


def test_an_app_starts_without_a_database() -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    with client_of(create_app(settings)) as client:
        assert client.get("/healthz").status_code == 200
        problem(client.get("/readyz"), 503, "database-unavailable")
        problem(client.get("/v1/households/1"), 503, "database-unavailable")


def test_a_reader_that_is_not_there_yet_is_awaited() -> None:
    with embedded_store() as (settings, store), store.connect(autocommit=True) as owner:
        owner.execute("drop role pollux_reader")
        with client_of(create_app(settings)) as client:
            assert client.get("/readyz").status_code == 503
            owner.execute("create role pollux_reader login")
            make_schema_of_releases(owner)
            write_release(owner, 1)
            switch(owner, 1)
            _shows(client, "household-1")


def test_a_port_in_use_is_refused_with_the_name_of_its_holder(
    installation: tuple[Settings, ServingStore],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"Port {port} is in use by process {os.getpid()}"):
            run(installation[0].model_copy(update={"api_port": port}))
    check_port_is_free("127.0.0.1", port)


def test_an_open_address_needs_keys(installation: tuple[Settings, ServingStore]) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.7", "example.org", ""):
        with pytest.raises(ApiKeysError, match="POLLUX_API_KEYS"):
            run(installation[0].model_copy(update={"api_host": host}))


def test_a_served_process_ends_when_told(owner: psycopg.Connection) -> None:
    with embedded_store() as (settings, _store):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, settings.model_dump_json(exclude={"database_url"})],
            cwd=PROJECT_DIR,
            stderr=subprocess.PIPE,
            text=True,
        )
        url = f"http://127.0.0.1:{settings.api_port}/healthz"

        def is_up() -> bool:
            try:
                return httpx.get(url).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(is_up, seconds=30)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
