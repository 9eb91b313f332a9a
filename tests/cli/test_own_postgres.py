"""Pollux on the user's own PostgreSQL, 15 or newer: load, build inside it, release, serve."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestration.build import build
from orchestration.load.run import load
from orchestration.release.publish import release
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from sample.generate import generate
from services.api.app import create_app
from services.events.database.migrate import migrate
from tests.services.api.support import client_of
from tests.support.own_postgres import PROGRAMS, VARIABLE, new_database, own_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with own_server() as url:
        if url is None:
            pytest.skip(f"no PostgreSQL 15 in {PROGRAMS}, and {VARIABLE} names no server")
        yield url


@pytest.fixture
def database(server: str) -> Iterator[str]:
    with new_database(server) as url:
        yield url


def test_the_server_is_of_the_version_that_is_promised(server: str) -> None:
    with psycopg.connect(server) as connection:
        major = connection.info.server_version // 10_000
    assert major >= 15
    if VARIABLE not in os.environ:
        assert major == 15


def test_load_build_release_and_serve(database: str, tmp_path: Path, short_tmp: Path) -> None:
    """Marts are built inside the server from what was loaded, released there, and asked for."""
    settings = Settings(data_dir=short_tmp / "own_server", engine="postgres", database_url=database)
    generate("loyalty", tmp_path, scale=0.1, seed=1)
    load(settings, domain="loyalty", from_=tmp_path)
    build(settings, ["loyalty"]).raise_if_failed()
    assert release(settings, "loyalty").number == 1
    with psycopg.connect(database) as connection:
        rows = connection.execute("select nspname from pg_namespace").fetchall()
        assert {"raw_loyalty", "loyalty__r1", "loyalty", "release"} <= {name for (name,) in rows}

    lines = (tmp_path / "LoyaltyList.txt").read_text().splitlines()
    listed = {line.split(",")[0].strip().lower() for line in lines if "@" in line}
    assert len(listed) > 10
    served: set[str] = set()
    with client_of(create_app(settings)) as api:
        query: dict[str, str] = {"limit": "1000"}
        while len(query) == 1 or query["next"]:
            answer = api.get("/v1/members", params=query)
            assert answer.status_code == 200, answer.text
            assert answer.headers["X-Pollux-Release"] == "loyalty-1"
            served |= {member["email"] for member in answer.json()["data"]}
            query["next"] = answer.json()["next"]
    # Others joined by a purchase.
    assert listed <= served


def test_what_duckdb_built_is_released_to_it(
    database: str, built: Settings, installation: Settings
) -> None:
    """The same marts, once from the embedded PostgreSQL 18 and once from this server."""
    own = installation.model_copy(
        update={"database_url": Settings(database_url=database).database_url}
    )
    assert release(own, "household").number == 1
    open_serving_store(built)
    path = "/v1/households?sort=-total_sales&limit=50"
    with client_of(create_app(built)) as embedded, client_of(create_app(own)) as api:
        first = embedded.get(path).json()["data"]
        assert len(first) > 10
        assert api.get(path).json()["data"] == first
        for row in first[:5]:
            summary = f"/v1/households/{row['household_key']}/summary"
            assert (
                api.get(summary).json().items()
                >= {
                    k: v for k, v in embedded.get(summary).json().items() if k != "instance"
                }.items()
            )


def test_the_event_service_makes_its_tables_there(database: str) -> None:
    with psycopg.connect(database) as connection:
        made = migrate(connection)
        assert made
        assert migrate(connection) == []
