"""What serves, on each kind of PostgreSQL: a release, an answer, an event, a rollback.

The oldest and the newest supported version, and one as providers manage it: its owner is no
superuser and may make no roles, connections must be encrypted, readers come through a pooler.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from orchestration.release.publish import release, rollback
from pollux.runtime.postgres import binaries_dir
from pollux.runtime.settings import Settings
from services.api.app import create_app
from tests.services.api.support import client_of, wait_until
from tests.services.events import support as shops
from tests.support.installations import Prepared
from tests.support.own_postgres import PROGRAMS, new_database, started_server
from tests.support.pgbouncer import PROGRAM, pooler
from tests.support.programs import free_port

pytestmark = pytest.mark.endurance

SHOWN = "X-Pollux-Release"
DOMAINS = ("household", "store")
Urls = dict[str, str]
EVENT = {"customer_id": 2, "department": "Men", "at": "2026-11-22T10:15:00Z", "event_id": "a"}
# Only encrypted connections, with a password.
ENCRYPTED = "hostssl all all 127.0.0.1/32 scram-sha-256"
ROLES = """
create role shop_owner login password 'o';
create role shop_reader login password 'r';
create role shop_events login password 'e';
create database shop owner shop_owner;
"""


@contextmanager
def own(programs: Path) -> Iterator[Urls]:
    with started_server(programs) as server, new_database(server) as url:
        yield {"database_url": url}


@contextmanager
def managed(programs: Path) -> Iterator[Urls]:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="pc")))
        # PgBouncer reads it as another user.
        folder.chmod(0o755)
        authority = shops.make_certificate(folder)
        authority.chmod(0o644)
        port = free_port()
        server = running.enter_context(
            started_server(
                programs,
                listens="localhost",
                port=port,
                access=ENCRYPTED,
                files=[authority, folder / "key.pem"],
                options=["ssl=on", "ssl_cert_file=../cert.pem", "ssl_key_file=../key.pem"],
            )
        )
        with psycopg.connect(server, autocommit=True) as superuser:
            for statement in ROLES.strip().splitlines():
                superuser.execute(statement.encode())
        place = f"host=localhost port={port} dbname=shop"
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(f"{place} user=shop_owner password=o sslmode=disable")
        encrypted = {"server_tls_sslmode": "verify-full", "server_tls_ca_file": str(authority)}
        reader = running.enter_context(
            pooler(
                f"{place} user=shop_reader password=r",
                free_port(),
                user="shop_reader",
                password="r",
                **encrypted,
            )
        )

        def url(user: str) -> str:
            verified = f"sslmode=verify-full&sslrootcert={authority}"
            return f"postgresql://shop_{user}:{user[0]}@localhost:{port}/shop?{verified}"

        yield {
            "database_url": url("owner"),
            "events_database_url": url("events"),
            "reader_url": reader,
        }


KINDS: dict[str, tuple[Callable[[Path], AbstractContextManager[Urls]], Path]] = {
    "oldest": (own, PROGRAMS),
    "newest": (own, binaries_dir()),
    "managed": (managed, PROGRAMS),
}


@pytest.fixture(params=KINDS)
def settings(
    request: pytest.FixtureRequest, prepared: Prepared, short_tmp: Path
) -> Iterator[Settings]:
    """An installation that is built, and a server that knows nothing of it."""
    kind, programs = KINDS[request.param]
    if not programs.is_dir() or (kind is managed and PROGRAM is None):
        pytest.skip(f"needs {programs} and PgBouncer")
    copied = prepared.copy(prepared.everything(), short_tmp / request.param, released=False)
    with kind(programs) as urls:
        yield Settings(data_dir=copied.data_dir, api_keys="", **urls)


def rows(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as owner:
        return owner.execute(statement.encode()).fetchall()


def test_it_releases_serves_takes_an_event_and_goes_back(settings: Settings) -> None:
    for domain in DOMAINS:
        assert release(settings, domain).number == 1
    ((baskets,),) = rows(
        settings, "select baskets from household__r1.household_rfm where household_key = 1"
    )
    with client_of(create_app(settings)) as api:
        path = "/v1/households/1"
        answer = api.get(path)
        assert (answer.status_code, answer.json()["baskets"]) == (200, baskets)
        # The same build, as another release.
        rows(settings, "update release.releases set dbt_invocation = 'earlier' returning domain")
        assert release(settings, "household").number == 2
        wait_until(lambda: api.get(path).headers[SHOWN] == "household-2", seconds=5)
        rollback(settings, "household")
        wait_until(lambda: api.get(path).headers[SHOWN] == "household-1", seconds=5)

    scorer = shops.Scorer()
    given = {
        f"POLLUX_{name.upper()}": url.get_secret_value()
        for name in ("database_url", "events_database_url", "reader_url")
        if (url := getattr(settings, name)) is not None
    }
    try:
        with shops.working(
            settings, POLLUX_SCORING_URL=scorer.url, TESTING_NO_MQTT="true", **given
        ) as worker:
            offers = [worker.post("/v1/offers", EVENT).json() for _ in range(2)]
    finally:
        scorer.close()
    assert [one["is_repeated"] for one in offers] == [False, True]
    assert rows(settings, "select customer_id, coupon_id::text from events.decisions") == [
        (EVENT["customer_id"], (offers[0]["coupon"] or {}).get("id"))
    ]
