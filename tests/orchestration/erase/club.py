"""A small installation made without dbt, in which a member is in every kind of place."""

import os
from pathlib import Path

import duckdb
import psycopg

from orchestration.load.run import load
from orchestration.release.registry import TABLES
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from tests.support.live_events import make_events_schema, take_in

OTHER = "somebody.else@canary.example"
RELEASE = """
create schema loyalty__r1;
create table loyalty__r1.members (email text primary key);
insert into release.releases (domain, number, engine, dbt_invocation, rows, seconds)
values ('loyalty', 1, 'duckdb', 'x', 2, 0);
insert into release.current (domain, number) values ('loyalty', 1);
insert into release.row_counts (domain, number, mart, rows) values ('loyalty', 1, 'members', 2);
insert into release.contracts (domain, number, mart, contract) values
    ('loyalty', 1, 'members', '{"columns": [{"name": "email", "identifies": "member"}]}');
"""
MESSAGES = """
insert into events.outbox
    (event_key, worker, topic, opening, closing, leased_until, answer_id)
values (gen_random_uuid(), 'w', 't', %s, '', now(), gen_random_uuid());
"""
UNREADABLE = """
insert into events.dead_letter (event_key, kind, topic, payload, is_whole, reason)
values (gen_random_uuid(), 'loyalty', 't', %s, true, 'r')
"""


def make_club(settings: Settings, email: str, spelled: str) -> None:
    """Fills an installation: the member `email` came in files and messages as `spelled`."""
    raw = write_list(settings.data_dir.parent / "raw", [spelled, OTHER])
    load(settings, domain="loyalty", from_=raw)
    write_inbox(settings, spelled)
    write_marts(settings, [email, OTHER])
    with open_serving_store(settings).connect() as connection:
        write_database(connection, email, spelled)


def write_list(folder: Path, emails: list[str]) -> Path:
    """A raw loyalty list."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "LoyaltyList.txt"
    file.write_text("".join(f"{email},fb,insta,F\n" for email in emails), encoding="utf-8")
    return file


def write_inbox(settings: Settings, email: str) -> None:
    """A file that was loaded, and one that nobody could read."""
    loaded = write_list(settings.inbox_dir / "loaded" / "loyalty", [email, OTHER])
    failed = settings.inbox_dir / "failed" / "loyalty" / "20261127T000000-notes.txt"
    failed.parent.mkdir(parents=True, exist_ok=True)
    failed.write_text(f"from {email}\n", encoding="utf-8")
    for path in (loaded, failed):
        # Long enough ago to be no longer written.
        os.utime(path, (1e9, 1e9))


def write_marts(settings: Settings, emails: list[str]) -> None:
    """What a build and its release leave: the warehouse and Parquet."""
    parquet = settings.releases_dir / "loyalty" / "r1" / "members.parquet"
    parquet.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(settings.warehouse_path) as warehouse:
        warehouse.execute("create schema if not exists loyalty")
        warehouse.execute("create or replace table loyalty.members (email varchar)")
        warehouse.executemany("insert into loyalty.members values (?)", [[one] for one in emails])
        warehouse.execute(f"copy loyalty.members to '{parquet}'")


def write_database(connection: psycopg.Connection, email: str, spelled: str) -> None:
    """A release, and what the event service keeps."""
    connection.execute(TABLES)
    connection.execute(RELEASE)
    make_events_schema(connection)
    for one in (email, OTHER):
        connection.execute("insert into loyalty__r1.members values (%s)", [one])
        take_in(connection, "loyalty_list", [{"email": one}])
        connection.execute(
            "insert into events.members (email, joined_by) values (%s, 'list')", [one]
        )
        connection.execute(
            "insert into events.promo_codes values ('Hoodie', %s, gen_random_uuid())", [one]
        )
    for one in (spelled, OTHER):
        payload = f'{{"email":"{one}"}}'.encode()
        connection.execute(MESSAGES, [payload])
        connection.execute(UNREADABLE, [payload])


def files_with(settings: Settings, *texts: str) -> list[str]:
    """Files in which one of these stands, in small or capital letters of ASCII."""
    wanted = [text.encode().lower() for text in texts]
    database = find_serving_store(settings).embedded
    assert database is not None
    return [
        str(path)
        for folder in {settings.data_dir, database.home}
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
        if any(one in path.read_bytes().lower() for one in wanted)
    ]


def emails_served(settings: Settings) -> set[str]:
    """Members that services would answer with."""
    with open_serving_store(settings).connect() as connection:
        return {
            email
            for table in ("loyalty__r1.members", "events.members", "events.loyalty_list")
            for (email,) in connection.execute(f"select email from {table}").fetchall()
        }
