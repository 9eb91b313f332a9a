"""Erasing in the database: rows of every release that is kept go, and nobody comes back in."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pollux.runtime import erasures
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from tests.support.programs import wait_for

pytestmark = pytest.mark.integration

ANNA = Subject("account", "1")
# Accounts 1 to 3, the first two referred by the third and the first.
RELEASE = """
create schema customer__r{number};
create table customer__r{number}.customers (account_number bigint, referrers_account_number bigint);
insert into customer__r{number}.customers values (1, 3), (2, 1), (3, null);
create table customer__r{number}.customer_cashback (account_number bigint, card_spend numeric);
insert into customer__r{number}.customer_cashback values (1, 10), (1, 20), (2, 30);
insert into release.releases values ('customer', {number}, '2026-11-27T08:00:00Z');
insert into release.row_counts values
    ('customer', {number}, 'customers', 3), ('customer', {number}, 'customer_cashback', 3);
insert into release.contracts values ('customer', {number}, 'customers', '{{"columns": [
    {{"name": "account_number", "identifies": "account"}},
    {{"name": "referrers_account_number", "identifies": "account"}}
]}}');
"""
REGISTRY = """
drop schema if exists release, erasure, customer__r1, customer__r2 cascade;
create schema release;
create table release.releases (domain text, number integer, released_at timestamptz);
create table release.current (domain text, number integer);
create table release.row_counts (domain text, number integer, mart text, rows bigint);
create table release.contracts (domain text, number integer, mart text, contract jsonb);
insert into release.current values ('customer', 2);
"""


@pytest.fixture(scope="module")
def store(short_tmp: Path) -> Iterator[ServingStore]:
    folder = short_tmp / "erasures"
    yield open_serving_store(Settings(data_dir=folder, database_url=None))
    EmbeddedPostgres(folder).stop()


@pytest.fixture
def connection(store: ServingStore) -> Iterator[psycopg.Connection]:
    with store.connect() as made:
        made.execute(REGISTRY)
        for number in (1, 2):
            made.execute(RELEASE.format(number=number).encode())
        made.commit()
        yield made


def rows(connection: psycopg.Connection, query: str) -> list[tuple[object, ...]]:
    found = connection.execute(query.encode()).fetchall()
    connection.commit()
    return found


def test_rows_go_and_references_are_emptied_in_every_kept_release(
    connection: psycopg.Connection,
) -> None:
    erased = erasures.erase(connection, ANNA)
    assert erased.rows == {
        f"customer__r{number}.{place}": rows
        for number in (1, 2)
        for place, rows in (
            ("customers", 1),
            ("customers: referrers_account_number", 1),
            ("customer_cashback", 2),
        )
    }
    for number in (1, 2):
        assert rows(connection, f"select * from customer__r{number}.customers order by 1") == [
            (2, None),
            (3, None),
        ]
        assert rows(connection, f"select * from customer__r{number}.customer_cashback") == [(2, 30)]


def test_services_are_told_that_the_release_is_another(connection: psycopg.Connection) -> None:
    connection.execute("listen release")
    connection.commit()
    before = rows(connection, "select released_at from release.releases order by number")
    erasures.erase(connection, ANNA)
    after = rows(connection, "select released_at from release.releases order by number")
    assert all(then < now for (then,), (now,) in zip(before, after, strict=True))
    (told,) = connection.notifies(timeout=5, stop_after=1)
    assert told.payload == "customer:2"
    assert rows(connection, "select rows from release.row_counts where mart = 'customers'") == [
        (2,),
        (2,),
    ]


def test_the_journal_names_them_until_the_bytes_are_gone(connection: psycopg.Connection) -> None:
    erased = erasures.erase(connection, ANNA)
    assert [one.subject for one in erasures.read_erasures(connection, unfinished=True)] == ["1"]
    erasures.note_finished(connection, [erased.number])
    # Not before its record is there.
    assert erasures.read_erasures(connection, unfinished=True)
    erasures.note_record(connection, erased.number, {"found": 0})
    erasures.note_finished(connection, [erased.number])
    assert erasures.read_erasures(connection, unfinished=True) == []
    (one,) = erasures.read_erasures(connection)
    assert (one.subject, one.record) == (None, {"found": 0})
    assert erasures.read_suppressed(connection).has(*ANNA)


def test_who_is_unknown_or_erased_twice_is_kept_out_all_the_same(
    connection: psycopg.Connection,
) -> None:
    for subject in (Subject("member", "nobody@example.org"), ANNA, ANNA):
        erasures.erase(connection, subject)
    found = erasures.read_erasures(connection)
    assert [sum(one.rows.values()) for one in found] == [0, 8, 0]
    suppressed = erasures.read_suppressed(connection)
    assert len(suppressed.digests) == 2
    assert suppressed.has("member", "nobody@example.org")
    assert not suppressed.has("household", "1")


def test_no_statistics_are_kept_of_whom_the_journal_names(connection: psycopg.Connection) -> None:
    for number in range(3):
        erasures.erase(connection, Subject("member", f"anna{number}@shop.example"))
    connection.execute("analyze erasure.erasures")
    kept = "select attname from pg_stats where tablename = 'erasures'"
    assert ("kind",) in rows(connection, kept)
    assert ("subject",) not in rows(connection, kept)


def test_a_database_of_an_earlier_version_gets_the_table_of_orders(
    connection: psycopg.Connection,
) -> None:
    erasures.erase(connection, ANNA)
    connection.execute("drop table erasure.orders")
    assert erasures.read_orders(connection) == {}
    erasures.erase(connection, Subject("customer", "7"))
    assert rows(connection, "select from erasure.orders") == []
    assert len(erasures.read_erasures(connection)) == 2


def test_a_release_that_was_being_written_loses_them_before_its_switch(
    connection: psycopg.Connection, store: ServingStore
) -> None:
    with store.connect() as releasing:
        # Written, and not yet to be seen by an erasure.
        releasing.execute(RELEASE.format(number=3).encode())
        erasures.erase(connection, ANNA)
        assert erasures.erase_again(releasing, "customer__r3") == {
            "customers": 1,
            "customer_cashback": 2,
        }
        assert rows(releasing, "select account_number from customer__r3.customers") == [(3,), (2,)]
    connection.execute("drop schema customer__r3 cascade")
    connection.commit()


def test_an_erasure_waits_for_what_takes_events_in_and_is_seen_by_what_comes_later(
    connection: psycopg.Connection, store: ServingStore
) -> None:
    erasures.erase(connection, Subject("account", "99"))
    with store.connect() as writing, store.connect() as erasing:
        # It has looked, found nobody, and is about to write.
        writing.execute("select from erasure.suppressed")
        thread = threading.Thread(target=erasures.erase, args=(erasing, ANNA))
        thread.start()
        waiting = "select count(*) from pg_locks where not granted"
        wait_for(lambda: rows(connection, waiting) == [(1,)], 10)
        writing.execute("insert into customer__r2.customers values (1, null)")
        writing.commit()
        thread.join(10)
        assert not thread.is_alive()
    assert rows(connection, "select count(*) from customer__r2.customers") == [(2,)]
