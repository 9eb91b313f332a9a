"""The services' roles on your own server, whose owner is no superuser, on the oldest and newest."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from orchestration.release.registry import prepare_store
from pollux.runtime.locks import LockSpace
from pollux.runtime.postgres import OWNER
from pollux.runtime.serving import (
    ServingStore,
    ServingStoreError,
    find_serving_store,
    open_serving_store,
)
from pollux.runtime.settings import Settings
from services.events.database.connection import DatabaseWriter
from services.events.database.migrate import prepare_database
from services.events.loyalty.repository import JOINED_BY_PURCHASE
from tests.conftest import PROJECT_DIR
from tests.support.own_postgres import PROGRAMS, VARIABLE, own_server


@pytest.fixture(
    scope="module", params=["newest", pytest.param("oldest", marks=pytest.mark.endurance)]
)
def server(request: pytest.FixtureRequest, shop_settings: Settings) -> Iterator[str]:
    """The URL of a superuser."""
    if request.param == "newest":
        embedded = open_serving_store(shop_settings).embedded
        assert embedded is not None
        yield embedded.url(user=OWNER, database=OWNER)
        return
    with own_server() as url:
        if url is None:
            pytest.skip(f"no PostgreSQL 15 in {PROGRAMS}, and {VARIABLE} names no server")
        yield url


@contextmanager
def owned(server: str) -> Iterator[ServingStore]:
    """A database whose owner may make roles, as managed servers have them, and nothing more."""
    name = uuid4().hex[:12]
    owner, reader, events = (f"{role}_{name}" for role in ("owner", "reader", "events"))
    with psycopg.connect(server, autocommit=True) as superuser:
        superuser.execute(f"create role {owner} login createrole")
        superuser.execute(f"create database {owner} owner {owner}")
        url = make_conninfo(server, user=owner, dbname=owner)
        try:
            yield replace(
                find_serving_store(Settings(database_url=SecretStr(url))),
                reader_role=reader,
                reader_set_role=reader,
                events_role=events,
                events_set_role=events,
            )
        finally:
            superuser.execute(f"drop database {owner} with (force)")
            for role in (reader, events, owner):
                superuser.execute(SQL("drop role if exists {}").format(Identifier(role)))


@pytest.mark.parametrize("is_released_first", [True, False])
def test_an_owner_who_is_no_superuser_makes_them(server: str, is_released_first: bool) -> None:
    with owned(server) as store, store.connect() as owner:
        if is_released_first:
            prepare_store(owner, store)
        prepare_database(owner, store)
        prepare_store(owner, store)
        with store.connect_events(autocommit=True) as events:
            assert events.execute("select current_user").fetchone() == (store.events_role,)
            assert events.execute("select count(*) from events.inbox").fetchone() == (0,)
            events.execute("update release.webhook_messages set attempts = 0")
            for refused in (
                "delete from events.decisions",
                "truncate events.inbox",
                "select * from release.current",
                "drop schema events cascade",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    events.execute(refused.encode())
        with store.connect_reader() as reader:
            assert reader.execute("select count(*) from release.current").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute("select * from events.inbox")


def test_the_event_service_writes_as_its_role(server: str) -> None:
    async def join(store: ServingStore) -> object:
        writer = DatabaseWriter(store, durable=True)

        async def work(connection: asyncpg.Connection) -> object:
            await connection.execute(JOINED_BY_PURCHASE, "anna@shop.example")
            return await connection.fetchval("select current_user")

        try:
            await writer.flush()
            return await writer.retry(work)
        finally:
            writer.close()

    with owned(server) as store, store.connect() as owner:
        prepare_database(owner, store)
        assert asyncio.run(join(store)) == store.events_role
        assert owner.execute("select email from events.members").fetchall() == [
            ("anna@shop.example",)
        ]


def test_a_login_of_its_own_cannot_go_back_to_the_owner(server: str) -> None:
    """POLLUX_EVENTS_DATABASE_URL names a role that somebody else made."""
    with owned(server) as made, psycopg.connect(server, autocommit=True) as superuser:
        superuser.execute(f"create role {made.events_role} login")
        settings = Settings(
            database_url=SecretStr(made.owner_url),
            events_database_url=SecretStr(make_conninfo(made.owner_url, user=made.events_role)),
        )
        found = find_serving_store(settings)
        assert found.events_role == made.events_role
        store = replace(made, events_url=found.events_url, events_set_role=found.events_set_role)
        with store.connect() as owner:
            prepare_database(owner, store)
        with store.connect_events(autocommit=True) as events:
            events.execute("reset role")
            assert events.execute("select current_user").fetchone() == (made.events_role,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                events.execute("truncate events.inbox")


def test_locks_are_closed_as_the_page_says(server: str) -> None:
    page = (PROJECT_DIR / "docs/settings.md").read_text()
    (block,) = re.findall(r"^    do \$\$\n.*?^    end \$\$;$", page, re.DOTALL | re.MULTILINE)
    with owned(server) as store:
        # Of the owner, and of its database.
        name = str(conninfo_to_dict(store.owner_url)["dbname"])
        with store.connect() as owner:
            prepare_database(owner, store)
        told = block.replace("to owner, pollux_events", f"to {name}, {store.events_role}")
        assert told != block
        with psycopg.connect(make_conninfo(server, dbname=name), autocommit=True) as superuser:
            superuser.execute(told.encode())
        with (
            store.connect_reader() as reader,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            reader.execute("select pg_advisory_lock(1)")
        # Whoever needs them still has them.
        with store.connect() as owner:
            prepare_store(owner, store)
            prepare_database(owner, store)
        with store.connect_events(autocommit=True) as events:
            assert events.execute(
                f"select pg_try_advisory_lock({LockSpace.WORKERS}, 1)"
            ).fetchone() == (True,)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://host/db", "POLLUX_EVENTS_DATABASE_URL names no user."),
        ("http://host", "POLLUX_EVENTS_DATABASE_URL cannot be read as a URL."),
    ],
)
def test_a_url_that_cannot_be_used_is_named(url: str, message: str) -> None:
    settings = Settings(
        database_url=SecretStr("postgresql://owner@host/db"), events_database_url=SecretStr(url)
    )
    with pytest.raises(ServingStoreError, match=message):
        find_serving_store(settings)
