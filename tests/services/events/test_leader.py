"""Worker numbers and leadership: held once, and released with the connection that holds them."""

import asyncio

import pytest

from pollux.runtime.locks import LockSpace
from pollux.runtime.serving import ServingStore
from services.events import leader as module
from services.events.leader import Leadership, WorkerNumberError
from tests.services.events.doubles import WAITS_FOR_LOCK, connect, run, until, until_row

END = """
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = 'pollux-events-leader' and datname = current_database()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.02)


def test_numbers_are_the_smallest_that_are_free(store: ServingStore) -> None:
    async def work() -> None:
        workers = [Leadership(store) for _ in range(3)]
        assert [await one.take_number() for one in workers] == [1, 2, 3]
        assert [one.is_alone for one in workers] == [True, False, False]
        workers[1].close()
        another = Leadership(store)
        # The server notices a closed connection in its own time.
        while await another.take_number() != 2:
            another.close()
            another = Leadership(store)
        for one in (*workers, another):
            one.close()

    run(work)


def test_with_all_numbers_taken_the_worker_ends(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WORKERS", 1)

    async def work() -> None:
        one, another = Leadership(store), Leadership(store)
        await one.take_number()
        with pytest.raises(WorkerNumberError, match="1 workers run already"):
            await another.take_number()
        one.close()
        another.close()

    run(work)


def test_one_leads_and_the_next_when_it_goes(store: ServingStore) -> None:
    async def work() -> None:
        first, second = Leadership(store), Leadership(store)
        await first.take_number()
        await second.take_number()
        keeping = [asyncio.create_task(one.keep()) for one in (first, second)]
        await until(lambda: first.is_leader.is_set() or second.is_leader.is_set())
        leads = [one.is_leader.is_set() for one in (first, second)]
        assert sorted(leads) == [False, True]
        leader, other = (first, second) if leads[0] else (second, first)
        keeping[0 if leads[0] else 1].cancel()
        leader.close()
        assert not leader.is_leader.is_set()
        await asyncio.wait_for(other.is_leader.wait(), 10)
        for task in keeping:
            task.cancel()
        other.close()

    run(work)


@pytest.mark.usefixtures("sees_sessions")
def test_who_lost_its_connection_has_its_number_again(store: ServingStore) -> None:
    async def work() -> None:
        one, connection = Leadership(store), await connect(store)
        await one.take_number()
        keeping = asyncio.create_task(one.keep())
        await one.is_leader.wait()
        for _ in range(3):
            await connection.execute("delete from events.workers")
            await connection.execute(END)
            # Noted again, in case another took over its session meanwhile.
            await until_row(connection, "select count(*) from events.workers")
            await asyncio.wait_for(one.is_leader.wait(), 10)
            assert one.number == 1
        assert not keeping.done()
        keeping.cancel()
        one.close()
        await connection.close()

    run(work)


@pytest.mark.usefixtures("sees_sessions")
def test_who_lost_its_number_to_another_ends(
    store: ServingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOST_SECONDS", 0.1)

    async def work() -> None:
        one, connection = Leadership(store), await connect(store)
        await one.take_number()
        keeping = asyncio.create_task(one.keep())
        await one.is_leader.wait()
        taking = asyncio.create_task(
            connection.fetchval("select pg_advisory_lock($1, 1)", LockSpace.WORKERS)
        )
        other = await connect(store)
        await until_row(other, WAITS_FOR_LOCK)
        await other.execute(END)
        await taking
        with pytest.raises(WorkerNumberError, match="Another worker took number 1"):
            await keeping
        one.close()
        await connection.close()
        await other.close()

    run(work)


def test_the_number_of_one_that_is_there_cannot_be_locked(store: ServingStore) -> None:
    async def work() -> None:
        first, second = Leadership(store), Leadership(store)
        await first.take_number()
        await second.take_number()
        assert not await first.lock(2)
        assert await first.lock(3)
        third = Leadership(store)
        # Whoever comes now is not given the number that is being taken over.
        assert await third.take_number() == 4
        await first.unlock(3)
        fourth = Leadership(store)
        assert await fourth.take_number() == 3
        for one in (first, second, third, fourth):
            one.close()

    run(work)
