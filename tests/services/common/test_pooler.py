"""Services behind a real PgBouncer in transaction mode: readers work, owners say why not."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest

from pollux import Cohort
from pollux.runtime.serving import (
    READER_ROLE,
    ServingStore,
    ServingStoreError,
    find_serving_store,
    open_serving_store,
)
from pollux.runtime.settings import Settings
from services.api import server as api_server
from services.api.app import create_app
from services.common.database import COPIES_AT_ONCE, Database, SlowQueryError
from services.events import server as events_server
from tests.services.api.support import (
    client_of,
    release_all,
    switch,
    wait_until,
    write_release,
)
from tests.support.own_postgres import PROGRAMS, VARIABLE, new_database, own_server
from tests.support.pgbouncer import PROGRAM, pooler
from tests.support.programs import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed"),
]

PAST_THE_POOLER = (
    "POLLUX_DATABASE_URL leads to a pooler in transaction mode (such as PgBouncer), which keeps no "
    "session and so no lock: point it past the pooler, at PostgreSQL itself. POLLUX_READER_URL may "
    "go through the pooler."
)
# What operators let PgBouncer swallow for other clients; then nothing refuses it, nor obeys.
IGNORED = (
    "default_transaction_read_only,statement_timeout,idle_in_transaction_session_timeout,jit,role"
)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with own_server() as server:
        if server is None:
            pytest.skip(f"no PostgreSQL 15 in {PROGRAMS}, and {VARIABLE} names no server")
        with new_database(server) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                with contextlib.suppress(psycopg.errors.DuplicateObject):
                    connection.execute(f"create role {READER_ROLE} nologin")
                release_all(connection, 3)
                write_release(connection, 4, "store")
            yield url


@pytest.fixture(scope="module", params=["refuses parameters", "swallows parameters"])
def pooled(request: pytest.FixtureRequest, database: str) -> Iterator[str]:
    told = {} if "refuses" in request.param else {"ignore_startup_parameters": IGNORED}
    with pooler(database, free_port(), **told) as url:
        yield url


@pytest.fixture
def settings(pooled: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=pooled, api_keys="", api_port=free_port())


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with client_of(create_app(settings)) as client:
        yield client


def test_the_api_answers_through_the_pooler(client: httpx.Client) -> None:
    assert client.get("/readyz").status_code == 200
    paths = [
        "/v1/households/1", "/v1/households?limit=3&sort=-total_sales", "/v1/vouchers",
        "/v1/coupons?department=sPORTS", "/v1/members/ANNA%40example.org",
        "/v1/marts/store/coupon_info",
        "/v1/coupon-offers?from_day=2026-10-03", *(f"/v1/households/{key}" for key in range(2, 40)),
    ]  # fmt: skip
    with ThreadPoolExecutor(8) as several:
        for _ in range(2):
            found = list(several.map(client.get, paths))
            assert {answer.status_code for answer in found} == {200}
    keys = [answer.json()["household_key"] for answer in found[-38:]]
    assert keys == list(range(2, 40))
    assert client.get("/v1/households/4711").status_code == 404


def test_whole_lists_come_through_the_pooler(client: httpx.Client) -> None:
    path = "/v1/coupons?department=sPORTS&min_discount=10&sort=-discount"
    rows = client.get(f"{path}&limit=1000").json()["data"]
    assert rows
    for _ in range(COPIES_AT_ONCE + 1):
        lines = client.get(path, headers={"Accept": "application/x-ndjson"}).text.splitlines()
        assert [json.loads(line) for line in lines] == rows
    assert client.get(f"{path}&limit=1000").json()["data"] == rows


def test_a_new_release_is_seen_without_notifications(client: httpx.Client, database: str) -> None:
    def release() -> Any:
        return client.get("/v1/coupons?limit=1").headers["X-Pollux-Release"]

    before = release()
    with psycopg.connect(database, autocommit=True) as connection:
        other = 3 if before == "store-4" else 4
        switch(connection, other, "store")
    wait_until(lambda: release() == f"store-{other}", seconds=3)


def reading(settings: Settings, sql: str) -> Any:
    async def ask() -> Any:
        found = Database(find_serving_store(settings))
        try:
            return await found.fetch(sql)
        finally:
            found.close()

    return asyncio.run(ask())


def test_a_reader_stays_a_reader(settings: Settings, database: str) -> None:
    told = "select current_user::text, current_setting('transaction_read_only'), "
    told += "current_setting('statement_timeout')"
    assert [tuple(row) for row in reading(settings, told)] == [(READER_ROLE, "on", "5s")]
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        reading(settings, "create table public.mine (n integer)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        reading(settings, "select * from pg_authid")


def test_a_query_that_takes_too_long_is_ended(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = "services.common.database.LIMITS"
    monkeypatch.setattr(limits, {"statement_timeout": "200ms"})
    with pytest.raises(SlowQueryError):
        reading(settings, "select pg_sleep(10)")


def test_nothing_is_left_for_others_in_the_session_that_was_lent(
    settings: Settings, client: httpx.Client, pooled: str, database: str
) -> None:
    assert client.get("/v1/households/1").status_code == 200
    cohort = Cohort.from_ids(["1", "2"], domain="household", source="store", settings=settings)
    assert cohort.ids == ["1", "2"]
    everyone = Cohort.init_all_customers(domain="store", source="store", settings=settings)
    assert {"1", "2", "3"} <= set(everyone.ids)
    with pytest.raises(asyncpg.UndefinedTableError):
        reading(settings, "select * from nothing_of_this_name")
    found = []
    for url in (pooled, database):
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as other:
            rows = other.execute(
                "select name, setting from pg_settings where name not in ('application_name') "
                "union all select 'user', current_user "
                "union all select 'prepared', count(*)::text from pg_prepared_statements"
            )
            found.append(dict(rows.fetchall()))
    assert found[0] == found[1]
    assert (found[0]["user"], found[0]["prepared"]) == ("postgres", "0")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_what_needs_sessions_says_where_to_point(database: str, tmp_path: Path, mode: str) -> None:
    with pooler(database, free_port(), mode=mode) as url:
        settings = Settings(data_dir=tmp_path, database_url=url, api_keys="")
        with pytest.raises(ServingStoreError) as refused:
            open_serving_store(settings)
        assert str(refused.value) == PAST_THE_POOLER
        with pytest.raises(ServingStoreError) as refused:
            events_server.run(settings)
        assert str(refused.value) == PAST_THE_POOLER


def test_a_pooler_that_keeps_sessions_is_no_hindrance(database: str, tmp_path: Path) -> None:
    with pooler(database, free_port(), mode="session", default_pool_size="5") as url:
        settings = Settings(data_dir=tmp_path, database_url=url, api_keys="")
        assert isinstance(open_serving_store(settings), ServingStore)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pooler_that_comes_between_is_noticed(database: str, tmp_path: Path, mode: str) -> None:
    """And the same when it goes; no request is told that this lasts."""
    port = free_port()
    direct = Settings(data_dir=tmp_path, database_url=database, api_keys="")
    with pooler(database, port, mode=mode) as url:
        settings = Settings(data_dir=tmp_path, database_url=url, api_keys="")
        for before, after in ((direct, settings), (settings, direct)):

            async def ask(before: Settings, after: Settings) -> list[Any]:
                found = Database(find_serving_store(before))
                try:
                    rows = [await found.fetch("select 1")]
                    found.close()
                    # The same name leads elsewhere now.
                    there = Database(find_serving_store(after))
                    found._dsn = there._dsn
                    return [*rows, await found.fetch("select 1")]
                finally:
                    found.close()

            assert [rows[0][0] for rows in asyncio.run(ask(before, after))] == [1, 1]


def test_a_pooler_that_lends_statements_is_refused_for_good(database: str, tmp_path: Path) -> None:
    with pooler(database, free_port(), mode="statement") as url:
        settings = Settings(data_dir=tmp_path, database_url=url, api_keys="")
        with client_of(create_app(settings)) as client:
            answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["type"]) == (
            503,
            "urn:pollux:problem:database-refuses",
        )
        assert start_of_api(tmp_path, database_url=url).startswith(
            "The pooler of POLLUX_DATABASE_URL refuses the connection: "
        )


def test_owners_go_past_the_pooler_and_readers_through_it(
    pooled: str, database: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database, reader_url=pooled, api_keys="")
    assert open_serving_store(settings).owner_url == database
    with client_of(create_app(settings)) as client:
        assert client.get("/v1/households/1").status_code == 200


def start_of_api(tmp_path: Path, **urls: str) -> str:
    """What the start says; the test fails where it goes on to serve."""
    settings = Settings(data_dir=tmp_path, api_keys="", api_port=free_port(), **urls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api_server, "serve", lambda *_: None)
        try:
            api_server.run(settings)
        except ServingStoreError as error:
            return str(error)
    return "serves"


def test_faults_that_do_not_mend_end_the_start(database: str, pooled: str, tmp_path: Path) -> None:
    assert start_of_api(tmp_path, database_url=database) == "serves"
    assert start_of_api(tmp_path, database_url=pooled) == "serves"
    away = f"postgresql://postgres@127.0.0.1:{free_port()}/pollux"
    assert start_of_api(tmp_path, database_url=away) == "serves"

    wrong_user = database.replace("postgres@", "nobody_here@", 1)
    assert start_of_api(tmp_path, database_url=wrong_user) == (
        'The server of POLLUX_DATABASE_URL refuses its user: role "nobody_here" does not exist.'
    )
    assert start_of_api(tmp_path, database_url=database, reader_url=wrong_user) == (
        'The server of POLLUX_READER_URL refuses its user: role "nobody_here" does not exist.'
    )
    head, _, tail = database.partition("/pollux_test_")
    wrong_database = f"{head}/not_there?{tail.partition('?')[2]}"
    assert start_of_api(tmp_path, database_url=wrong_database) == (
        'The server of POLLUX_DATABASE_URL does not have its database: database "not_there" does '
        "not exist."
    )
    unknown = pooled.replace("/pooled", "/unknown")
    assert start_of_api(tmp_path, database_url=unknown) == (
        "The pooler of POLLUX_DATABASE_URL refuses the connection: bouncer config error."
    )
    nowhere = pooled.replace("/pooled", "/nowhere")
    assert start_of_api(tmp_path, database_url=nowhere) == (
        'The pooler of POLLUX_DATABASE_URL refuses the connection: database "not_there" does not '
        "exist."
    )
    option = f"{pooled}?options=-c%20work_mem%3D8MB"
    assert start_of_api(tmp_path, database_url=option) == (
        "The pooler of POLLUX_DATABASE_URL refuses the connection: unsupported startup parameter: "
        "options."
    )


def test_a_wrong_password_ends_the_start(database: str, tmp_path: Path) -> None:
    with pooler(database, free_port(), password="right") as url:
        assert start_of_api(tmp_path, database_url=url) == "serves"
        wrong = url.replace(":right@", ":wrong@")
        assert start_of_api(tmp_path, database_url=wrong) == (
            "The pooler of POLLUX_DATABASE_URL refuses the connection: password authentication "
            "failed."
        )


def test_a_role_that_may_not_be_taken_on_ends_the_start(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create role pollux_test_outsider login")
        try:
            outsider = database.replace("postgres@", "pollux_test_outsider@", 1)
            assert start_of_api(tmp_path, database_url=outsider) == (
                "The user of POLLUX_DATABASE_URL may not read: permission denied to set role "
                '"pollux_reader".'
            )
        finally:
            connection.execute("drop role pollux_test_outsider")
