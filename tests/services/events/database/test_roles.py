"""What the roles of the services cannot do: statements that someone in their sessions might try."""

from collections.abc import Iterator

import psycopg
import pytest

from pollux.runtime.locks import LockSpace
from pollux.runtime.serving import (
    EVENTS_ROLE,
    READER_ROLE,
    open_serving_store,
)
from pollux.runtime.settings import Settings
from services.events.database.migrate import prepare_database
from services.events.database.rights import RIGHTS

# Whoever has a service's session; {role} is its role.
OF_BOTH = [
    "create table public.mine (a int)",
    "create temporary table mine (a int)",
    "create schema mine",
    "create database mine",
    "create role mine superuser login",
    "create event trigger mine on ddl_command_start execute function pg_notify()",
    "create function release.mine() returns int language sql as 'select 1'",
    "alter role {role} superuser",
    "alter role {role} connection limit -1",
    "alter role postgres password 'mine'",
    "alter database pollux set statement_timeout = 0",
    "alter system set statement_timeout = 0",
    "set role postgres",
    "set session authorization postgres",
    "set session_replication_role = replica",
    "set temp_file_limit = -1",
    "grant postgres to {role}",
    "load '/tmp/mine'",
    "copy (select 1) to program 'true'",
    "copy (select 1) to '/tmp/mine'",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "select lo_from_bytea(0, 'mine')",
    "select pg_terminate_backend(pg_backend_pid())",
    "select pg_reload_conf()",
    "select rolpassword from pg_authid",
    "drop table release.current",
    "update release.current set number = 1",
    "drop schema store__r1 cascade",
    "do $$ begin lock table release.current in access exclusive mode; end $$",
    f"select pg_advisory_lock({LockSpace.MIGRATION})",
]
OF_THE_READER = [
    f"select pg_advisory_lock({LockSpace.WORKERS}, 0)",
    f"select pg_try_advisory_lock({LockSpace.WORKERS}, 1)",
    f"select pg_advisory_xact_lock({LockSpace.COOLDOWN}, 1)",
    f"select pg_try_advisory_xact_lock_shared({LockSpace.WEBHOOKS}, 1)",
    "select pg_advisory_lock(hashtext('pollux release store'))",
    "select pg_logical_emit_message(true, 'mine', 'x')",
    "select email from events.members",
    "select payload from events.dead_letter",
    "select number from release.current for update",
    "insert into release.current values ('mine', 1)",
    "delete from store__r1.coupon_info",
    "create view store__r1.mine as select 1",
]
OF_THE_EVENT_SERVICE = [
    "truncate events.inbox",
    "drop table events.inbox",
    "alter table events.inbox add column mine int",
    "create index on events.inbox (worker)",
    "create trigger mine before insert on events.inbox execute function pg_notify()",
    "delete from events.decisions",
    "update events.decisions set prediction = .99",
    "delete from events.conversions",
    "delete from events.members",
    "update events.promo_codes set email = 'mine@shop.example'",
    "update events.identity set id = gen_random_uuid()",
    "select * from events.migrations",
    "select email from loyalty__r1.members",
    "select * from store__r1.customer_info",
    "select * from release.current",
    "insert into release.webhook_messages default values",
]
ESCAPES = [
    *((READER_ROLE, statement) for statement in OF_BOTH + OF_THE_READER),
    *((EVENTS_ROLE, statement) for statement in OF_BOTH + OF_THE_EVENT_SERVICE),
]


@pytest.fixture(scope="module")
def sessions(shop_settings: Settings) -> Iterator[dict[str, psycopg.Connection]]:
    store = open_serving_store(shop_settings)
    assert store.events_url is not None
    with (
        psycopg.connect(store.reader_url, autocommit=True) as reader,
        psycopg.connect(store.events_url, autocommit=True) as events,
    ):
        # What services set for their sessions, whoever has one may set otherwise.
        reader.execute("set default_transaction_read_only = off")
        yield {READER_ROLE: reader, EVENTS_ROLE: events}


@pytest.mark.parametrize(("role", "statement"), ESCAPES)
def test_escapes_are_refused(
    sessions: dict[str, psycopg.Connection], role: str, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sessions[role].execute(statement.format(role=role).encode())
    found = sessions[role].execute("select current_user, session_user").fetchone()
    assert found == (role, role)


def test_every_table_of_events_has_its_rights(shop_settings: Settings) -> None:
    with open_serving_store(shop_settings).connect() as owner:
        tables = owner.execute("select tablename from pg_tables where schemaname = 'events'")
        assert {name for (name,) in tables.fetchall()} == {*RIGHTS, "migrations"}


def test_what_a_role_set_for_later_sessions_is_undone(shop_settings: Settings) -> None:
    store = open_serving_store(shop_settings)
    with psycopg.connect(store.reader_url, autocommit=True) as reader:
        reader.execute(f"alter role {READER_ROLE} set search_path = events")
        reader.execute(f"alter role {READER_ROLE} in database pollux set statement_timeout = 0")
    with store.connect() as owner:
        prepare_database(owner, store)
    with psycopg.connect(store.reader_url) as reader:
        shown = [reader.execute(f"show {name}".encode()).fetchone() for name in
                 ("search_path", "temp_file_limit")]  # fmt: skip
        assert shown == [('"$user", public',), ("4GB",)]
        settings = reader.execute("select count(*) from pg_db_role_setting where setdatabase > 0")
        assert settings.fetchone() == (0,)
