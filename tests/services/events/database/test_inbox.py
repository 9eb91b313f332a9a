"""The inbox: of several workers that take the same event, only one gets it."""

import asyncio
from uuid import UUID, uuid4

import asyncpg

from pollux.runtime.serving import ServingStore
from services.events.database.inbox import INSERT_NEW
from tests.services.events.doubles import WAITS_FOR_LOCK, connect, run, until_row


async def new(connection: asyncpg.Connection, worker: str, keys: list[UUID]) -> set[UUID]:
    rows = await connection.fetch(INSERT_NEW, worker, keys, ["focus"] * len(keys))
    return {row[0] for row in rows}


def test_an_event_is_new_once(store: ServingStore) -> None:
    async def work() -> None:
        connection = await connect(store)
        keys = [uuid4() for _ in range(5)]
        assert await new(connection, "first", keys[:3]) == set(keys[:3])
        assert await new(connection, "second", keys) == set(keys[3:])
        # Twice in one message group is once.
        twice = uuid4()
        assert await new(connection, "first", [twice, twice]) == {twice}
        found = await connection.fetch("select worker, count(*) from events.inbox group by 1")
        assert dict(found) == {"first": 4, "second": 2}
        await connection.close()

    run(work)


def test_what_another_has_not_committed_is_waited_for(store: ServingStore) -> None:
    async def work() -> None:
        one, other = await connect(store), await connect(store)
        kept, lost = uuid4(), uuid4()
        transaction = one.transaction()
        await transaction.start()
        assert await new(one, "first", [lost]) == {lost}
        waiting = asyncio.create_task(new(other, "second", [lost]))
        await until_row(one, WAITS_FOR_LOCK)
        assert not waiting.done()
        await transaction.rollback()
        assert await waiting == {lost}
        async with one.transaction():
            await new(one, "first", [kept])
            waiting = asyncio.create_task(new(other, "second", [kept]))
        assert await waiting == set()
        await one.close()
        await other.close()

    run(work)
