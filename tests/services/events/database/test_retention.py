"""Retention: old finished rows are deleted, permanent ones stay."""

from uuid import uuid4

import pytest

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.events.database import retention
from services.events.database.retention import Retention
from tests.services.events.doubles import connect, run

# Ages in days; those above 30 are to go.
ROWS = """
insert into events.inbox (event_key, kind, worker, received_at)
select gen_random_uuid(), 'focus', 'w', now() - make_interval(days => age)
from unnest(array[0, 29, 31, 90]) as age;
insert into events.documents (document_key, body, made_at)
select gen_random_uuid(), cast(age::text as bytea), now() - make_interval(days => age)
from unnest(array[29, 31, 32]) as age;
insert into events.outbox (
    answer_id, event_key, topic, opening, closing, worker, leased_until, published_at, document_key
)
select
    gen_random_uuid(), gen_random_uuid(), 't', '', '', 'w', now(),
    now() - make_interval(days => age), document_key
from unnest(array[29, 31, null]) with ordinality as answer (age, place)
left join events.documents on answer.age is null and body = '32';
insert into events.dead_letter (
    event_key, kind, topic, payload, is_whole, reason, received_at, resolved_at
)
select
    gen_random_uuid(), 'focus', 't', '', true, 'r', now() - interval '90 days',
    now() - make_interval(days => age)
from unnest(array[29, 31, null]) as age;
insert into events.decisions (
    event_key, kind, customer_id, event_at, event_date, outcome, decided_at
)
values (gen_random_uuid(), 'entry', 1, now(), current_date, 'prepared', now() - interval '9 years');
"""
SETTINGS = Settings(events_retention_days=30, dead_letters_retention_days=100)
COUNTS = """
select
    (select count(*) from events.inbox), (select count(*) from events.outbox),
    (select count(*) from events.dead_letter), (select count(*) from events.documents),
    (select count(*) from events.decisions)
"""


@pytest.mark.parametrize("at_once", [1, 10_000])
def test_what_is_older_goes_whatever_the_size_of_a_part(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", at_once)

    async def work() -> None:
        connection = await connect(store)
        await connection.execute(ROWS)
        assert tuple(await connection.fetchrow(COUNTS)) == (4, 3, 3, 3, 1)
        one = Retention(store, SETTINGS)
        await one.delete_old()
        # Of the outbox the unpublished answer stays, and with it the old document it needs.
        assert tuple(await connection.fetchrow(COUNTS)) == (2, 2, 2, 2, 1)
        await one.delete_old()
        assert tuple(await connection.fetchrow(COUNTS)) == (2, 2, 2, 2, 1)
        open_ = "select count(*) from events.dead_letter where resolved_at is null"
        assert await connection.fetchval(open_) == 1
        one.close()
        await connection.close()

    run(work)


def test_an_answer_that_comes_meanwhile_keeps_its_document(store: ServingStore) -> None:
    """Retention passes over it, and the next hour knows."""

    async def work() -> None:
        connection = await connect(store)
        key = uuid4()
        await connection.execute(
            "insert into events.documents values ($1, 'x', now() - interval '40 days')", key
        )
        one = Retention(store, SETTINGS)
        async with connection.transaction():
            await connection.execute(
                "insert into events.outbox (answer_id, event_key, topic, opening, closing, worker, "
                "leased_until, document_key) "
                "values (gen_random_uuid(), gen_random_uuid(), 't', '', '', 'w', now(), $1)",
                key,
            )
        await one.delete_old()
        assert await connection.fetchval("select count(*) from events.documents") == 1
        one.close()
        await connection.close()

    run(work)


def test_open_dead_letters_go_after_days_of_their_own(store: ServingStore) -> None:
    letters = (
        "insert into events.dead_letter "
        "(event_key, kind, topic, payload, is_whole, reason, received_at) "
        "select gen_random_uuid(), 'focus', age::text, '', true, 'r', "
        "now() - make_interval(days => age) from unnest(array[71, 70, 69, 0]) as age"
    )

    async def work() -> None:
        connection = await connect(store)
        await connection.execute(letters)
        one = Retention(store, Settings(dead_letters_retention_days=70))
        await one.delete_old()
        # What is exactly so old is older by now.
        left = "select array_agg(topic order by id) from events.dead_letter"
        assert await connection.fetchval(left) == ["69", "0"]
        one.close()
        await connection.close()

    run(work)
