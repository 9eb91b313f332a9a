"""Erasures in the serving database: schema `erasure`, and deleting what services read.

Belongs here: the list of who is kept out, the journal of erasures, deleting rows that services
read. Does not belong here: files, and bytes that deleted rows leave behind (`orchestration.erase`).

A transaction that takes in what an event says reads `erasure.suppressed` first; an erasure locks
that table. So whatever such a transaction writes is there when the erasure deletes, or it sees that
the subject is kept out.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from pollux.runtime.steps import step
from pollux.runtime.subject_rows import (
    EMPTIED,
    delete_given_orders,
    delete_messages,
    delete_rows,
    subject_columns,
)
from pollux.subjects import Subject, Suppressed

# An erasure's `subject` is its id until the bytes are gone; `rows` are those deleted, by table. Of
# `orders` events up to `number` are to go where they have landed, whoever they name.
TABLES = """
create schema if not exists erasure;
create table if not exists erasure.salt (salt bytea not null);
create table if not exists erasure.suppressed (
    digest bytea primary key,
    since timestamptz not null default clock_timestamp()
);
create table if not exists erasure.erasures (
    number bigint generated always as identity primary key,
    kind text not null,
    digest bytea not null,
    subject text,
    asked_at timestamptz not null default clock_timestamp(),
    rows jsonb not null,
    record jsonb,
    finished_at timestamptz
);
-- The server analyses tables by itself: an id must not get into statistics while it is erased.
alter table erasure.erasures alter column subject set statistics 0;
create table if not exists erasure.orders (
    order_id bigint primary key,
    number bigint not null
);
insert into erasure.salt (salt)
select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
where not exists (select from erasure.salt);
"""
# Whether a subject is kept out, by the SQL of its kind and of its id; as `digest_of` hashes.
KEPT_OUT = """exists (
    select from erasure.suppressed, erasure.salt
    where digest = sha256(salt || convert_to({kind} || ':' || {id}, 'UTF8'))
)"""
ROWS = """
update erasure.erasures
set rows = rows || (
    select coalesce(jsonb_object_agg(key, greatest(value::bigint, (rows ->> key)::bigint)), '{}')
    from jsonb_each_text(%s::jsonb)
)
where number = %s
"""
CHANNEL = "release"


@dataclass(frozen=True)
class Erasure:
    """An erasure: `subject` is None once the bytes are gone; `rows` were deleted, by table."""

    number: int
    kind: str
    digest: bytes
    subject: str | None
    asked_at: datetime
    rows: Mapping[str, int]
    record: Mapping[str, Any] | None
    finished_at: datetime | None


def prepare(connection: psycopg.Connection) -> None:
    """Makes schema `erasure` where any of it is missing, within the caller's transaction."""
    if not _is_there(connection, "orders"):
        connection.execute("select pg_advisory_xact_lock(hashtext('pollux erasure'))")
        connection.execute(TABLES)


def is_prepared(connection: psycopg.Connection) -> bool:
    """Whether anything was ever erased here, or could have been."""
    return _is_there(connection, "erasures")


def erase(connection: psycopg.Connection, subject: Subject) -> Erasure:
    """Keeps a subject out from now on and deletes the rows that services read; commits.

    A second after it returns no service answers with the subject: those rows are gone from every
    release that is kept, and what services remember of these releases no longer counts.
    """
    with connection.transaction():
        prepare(connection)
        connection.execute("set local lock_timeout = '10s'")
        connection.execute("lock table erasure.suppressed in access exclusive mode")
        ((digest,),) = connection.execute(
            "insert into erasure.suppressed (digest) select sha256(salt || convert_to(%s, 'UTF8')) "
            "from erasure.salt on conflict (digest) do update set digest = excluded.digest "
            "returning digest",
            [f"{subject.kind}:{subject.id}"],
        ).fetchall()
        # By the decisions and changes that they tell of, which go next.
        rows = delete_messages(connection, subject)
        rows += delete_given_orders(connection, subject)
        rows += delete_rows(connection, subject, subject_columns(connection, subject.kind))
        _renew(connection, rows)
        step("erase.deleted")
        with connection.cursor(row_factory=class_row(Erasure)) as cursor:
            erased = cursor.execute(
                "insert into erasure.erasures (kind, digest, subject, rows) "
                "values (%s, %s, %s, %s::jsonb) "
                "returning number, kind, digest, subject, asked_at, rows, record, finished_at",
                [subject.kind, digest, subject.id, json.dumps(rows)],
            ).fetchone()
    step("erase.committed")
    assert erased is not None  # noqa: S101 - one row was inserted
    return erased


def erase_again(connection: psycopg.Connection, schema: str) -> dict[str, int]:
    """Deletes from a release that is about to be served who was erased while it was written.

    Returns rows by table; to be called in the transaction of the switch.
    """
    deleted: Counter[str] = Counter()
    if is_prepared(connection):
        # As if it took in what an event says.
        connection.execute("lock table erasure.suppressed in access share mode")
        for one in read_erasures(connection, unfinished=True):
            if one.subject is not None:
                kept = subject_columns(connection, one.kind)
                found = [column for column in kept if column.schema == schema]
                deleted += delete_rows(connection, Subject(one.kind, one.subject), found)
    return {name.partition(".")[2]: n for name, n in deleted.items() if EMPTIED not in name}


def read_erasures(connection: psycopg.Connection, *, unfinished: bool = False) -> list[Erasure]:
    """Erasures in their order, or those whose bytes may be left."""
    if not is_prepared(connection):
        return []
    with connection.cursor(row_factory=class_row(Erasure)) as cursor:
        return cursor.execute(
            "select number, kind, digest, subject, asked_at, rows, record, finished_at "
            "from erasure.erasures where finished_at is null or not %s order by number",
            [unfinished],
        ).fetchall()


def note_rows(connection: psycopg.Connection, number: int, rows: Mapping[str, int]) -> None:
    """Adds what is about to be erased to the rows of an erasure; the caller commits.

    Of a place that was noted before, and is counted anew after a kill, the greater number stays.
    """
    connection.execute(ROWS, [json.dumps({name: n for name, n in rows.items() if n}), number])


def note_record(connection: psycopg.Connection, number: int, record: Mapping[str, Any]) -> None:
    """Puts the record of an erasure in place of the id; the caller commits."""
    connection.execute(
        "update erasure.erasures set subject = null, record = %s::jsonb where number = %s",
        [json.dumps(record), number],
    )


def note_finished(connection: psycopg.Connection, numbers: list[int]) -> None:
    """Notes that no byte of these is left; the caller commits."""
    connection.execute(
        "update erasure.erasures set finished_at = clock_timestamp() "
        "where number = any(%s) and subject is null",
        [numbers],
    )


def read_orders(connection: psycopg.Connection) -> dict[int, int]:
    """Orders whose events up to a number are to go where they have landed."""
    if not _is_there(connection, "orders"):
        return {}
    return dict(connection.execute("select order_id, number from erasure.orders").fetchall())


def forget_orders(connection: psycopg.Connection, orders: Mapping[int, int]) -> None:
    """Forgets orders of `read_orders` whose events are gone; the caller commits."""
    if orders:
        connection.execute(
            "delete from erasure.orders "
            "using unnest(%s::bigint[], %s::bigint[]) as gone (order_id, number) "
            "where (orders.order_id, orders.number) = (gone.order_id, gone.number)",
            [[*orders], [*orders.values()]],
        )


def read_suppressed(connection: psycopg.Connection) -> Suppressed:
    """Who is kept out."""
    if not is_prepared(connection):
        return Suppressed()
    ((salt,),) = connection.execute("select salt from erasure.salt").fetchall()
    found = connection.execute("select digest from erasure.suppressed").fetchall()
    return Suppressed(salt, frozenset(digest for (digest,) in found))


def _is_there(connection: psycopg.Connection, table: str) -> bool:
    return connection.execute("select to_regclass(%s)", [f"erasure.{table}"]).fetchone() != (None,)


def _renew(connection: psycopg.Connection, deleted: Mapping[str, int]) -> None:
    """Makes what was kept of the releases count no more, and their numbers of rows right."""
    domains = set()
    # A database of before 2026-11-27 has no numbers of rows until its next release.
    counts = connection.execute("select to_regclass('release.row_counts')").fetchone() != (None,)
    for name, rows in deleted.items():
        schema, table = name.split(".", 1)
        domain, is_release, number = schema.partition("__r")
        if is_release:
            domains.add(domain)
        if counts and is_release and EMPTIED not in table:
            connection.execute(
                "update release.row_counts set rows = rows - %s "
                "where domain = %s and number = %s and mart = %s",
                [rows, domain, number, table],
            )
    if not domains:
        # Perhaps nothing was ever released.
        return
    # The tag of an answer is made from this time: services and clients forget those that they kept.
    connection.execute(
        "update release.releases set released_at = released_at + interval '1 microsecond' "
        "where domain = any(%s)",
        [[*domains]],
    )
    connection.execute(
        "select pg_notify(%s, domain || ':' || number) from release.current where domain = any(%s)",
        [CHANNEL, [*domains]],
    )
