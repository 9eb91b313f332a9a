"""A database that begins to refuse a running service for good: it says so, until it is mended."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import psycopg
import pytest

from pollux.runtime.serving import READER_ROLE, ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.common.database import Database, Refusal, refusal_of
from services.common.metrics import Metrics
from services.common.releases import ReleaseWatcher
from services.events.settings import MqttSettings
from services.events.worker import Worker
from tests.services.api.support import (
    NUMBER,
    client_of,
    embedded_store,
    problem,
    release_all,
    wait_until,
)

URL = "postgresql://nowhere/pollux"
REFUSES = "The server of POLLUX_READER_URL refuses its user"
LASTS = (
    "This does not pass by itself: it lasts until somebody mends it. The service's log has what "
    "the server says."
)
END_SESSIONS = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where application_name = 'pollux-service'"
)
# What an operator does, what is said of it, what the server says, and what mends it.
FAULTS = {
    "may not log in": (
        "alter role svc nologin", REFUSES, 'role "svc" is not permitted to log in',
        "alter role svc login",
    ),
    "dropped": (
        "alter role svc rename to was_svc", REFUSES, 'role "svc" does not exist',
        "alter role was_svc rename to svc",
    ),
    "may not connect": (
        "revoke connect on database {database} from public",
        "The user of POLLUX_READER_URL may not read",
        'permission denied for database "{database}"',
        "grant connect on database {database} to public",
    ),
    "may not see releases": (
        f"revoke usage on schema release from {READER_ROLE}",
        "The user of POLLUX_READER_URL may not read",
        "permission denied for schema release",
        f"grant usage on schema release to {READER_ROLE}",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[psycopg.Connection]:
    with embedded_store() as (_, store), store.connect(autocommit=True) as owner:
        release_all(owner, NUMBER)
        owner.execute(f"create role svc login in role {READER_ROLE}")
        yield owner


def url_of(owner: psycopg.Connection, user: str) -> str:
    info = owner.info
    return f"postgresql://{user}@/{info.dbname}?host={quote(info.host, safe='')}&port={info.port}"


def is_answered(client: httpx.Client, status: int, kind: str = "") -> bool:
    answer = client.get("/v1/campaigns")
    return answer.status_code == status and (not kind or kind in answer.text)


@pytest.mark.integration
@pytest.mark.parametrize("fault", FAULTS)
def test_what_no_time_mends_is_said_while_it_lasts(
    server: psycopg.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    database = server.info.dbname
    done, what, told, mended = (text.format(database=database) for text in FAULTS[fault])
    settings = Settings(
        data_dir=tmp_path,
        database_url=url_of(server, server.info.user),
        reader_url=url_of(server, "svc"),
        api_keys="",
    )
    with client_of(create_app(settings)) as client:
        wait_until(lambda: is_answered(client, 200), seconds=10)
        server.execute(done)
        try:
            server.execute(END_SESSIONS)
            wait_until(lambda: is_answered(client, 503, "database-refuses"), seconds=10)
            for path in ("/readyz", "/v1/households/1", "/v1/campaigns"):
                answer = client.get(path)
                found = problem(answer, 503, "database-refuses")
                assert found["detail"] == f"{what}. {LASTS}"
                assert "retry-after" not in answer.headers
                assert "svc" not in answer.text
            assert client.get("/healthz").status_code == 200
        finally:
            server.execute(mended)
        wait_until(lambda: is_answered(client, 200), seconds=10)
        assert client.get("/readyz").status_code == 200
    errors = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert errors == [f"{what}: {told}. This does not pass by itself."]


@pytest.mark.integration
def test_a_role_of_readers_that_is_gone_is_told_from_one_that_comes(
    server: psycopg.Connection, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path, database_url=url_of(server, server.info.user), api_keys=""
    )
    gone = f"alter role {READER_ROLE} rename to was_reader"
    back = f"alter role was_reader rename to {READER_ROLE}"
    server.execute(gone)
    try:
        with client_of(create_app(settings)) as client:
            problem(client.get("/readyz"), 503, "database-unavailable")
            server.execute(back)
            wait_until(lambda: is_answered(client, 200), seconds=10)
            server.execute(gone)
            server.execute(END_SESSIONS)
            wait_until(lambda: is_answered(client, 503, "database-refuses"), seconds=10)
            found = problem(client.get("/readyz"), 503, "database-refuses")
            assert found["detail"].startswith(
                "The role that readers take on is gone from the server of POLLUX_DATABASE_URL. This"
            )
            server.execute(back)
            wait_until(lambda: is_answered(client, 200), seconds=10)
    finally:
        if not server.execute("select 1 from pg_roles where rolname = %s", [READER_ROLE]).rowcount:
            server.execute(back)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (asyncpg.InvalidPasswordError("x"), "The server of V refuses its user"),
        (asyncpg.InvalidCatalogNameError("x"), "The server of V does not have its database"),
        (asyncpg.InsufficientPrivilegeError("x"), "The user of V may not read"),
        (asyncpg.ClientConfigurationError("x"), "V cannot be used"),
        (asyncpg.ProtocolViolationError("no such user: x"), "The pooler of V refuses the connect"),
        (asyncpg.ProtocolViolationError("auth failed"), "The pooler of V refuses the connection"),
        # What may pass.
        (asyncpg.ProtocolViolationError("pgbouncer cannot connect to server"), None),
        (asyncpg.CannotConnectNowError("the database system is starting up"), None),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), None),
        (asyncpg.AdminShutdownError("terminating connection"), None),
        (ConnectionRefusedError(), None),
        (TimeoutError(), None),
    ],
    ids=repr,
)
def test_what_lasts_is_told_from_what_passes(error: Exception, what: str | None) -> None:
    refusal = refusal_of("V", error)
    assert (refusal is None) == (what is None)
    database = Database(ServingStore(URL, URL, READER_ROLE, None, None))
    failure = database.failure_of(error)
    assert failure.kind == ("database-unavailable" if what is None else "database-refuses")
    assert ("Retry-After" in failure.headers) == (what is None)
    if refusal is not None and what is not None:
        assert refusal.what.startswith(what)


def test_the_embedded_server_refuses_nobody_for_good() -> None:
    """Its users are made with the first release."""
    embedded: Any = object()
    database = Database(ServingStore(URL, URL, READER_ROLE, None, embedded))
    assert database.failure_of(asyncpg.InvalidPasswordError("x")).kind == "database-unavailable"


def test_the_event_service_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ServingStore(URL, URL, READER_ROLE, None, None)
    worker = Worker(Settings(), MqttSettings(), store, Metrics())
    assert worker.database_problem == "The database cannot be reached"
    monkeypatch.setattr(ReleaseWatcher, "refusal", Refusal(REFUSES, 'role "svc" does not exist'))
    assert worker.database_problem == f"{REFUSES}, which does not pass by itself"
