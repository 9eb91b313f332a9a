"""The connection that writes: work is tried until the database answers; a restart is noticed."""

import asyncio

import asyncpg
import pytest

from pollux.runtime.serving import ServingStore
from services.events.database.connection import DatabaseWriter
from tests.services.events.doubles import connect, run, until_row

PID = "select pg_backend_pid()"


@pytest.mark.usefixtures("sees_sessions")
def test_a_lost_connection_is_made_again_and_counted(store: ServingStore) -> None:
    async def work() -> None:
        writer, killed = DatabaseWriter(store, durable=False), []
        owner = await connect(store)

        async def work_once_killed(connection: asyncpg.Connection) -> int:
            if not killed:
                killed.append(await connection.fetchval(PID))
                await owner.execute("select pg_terminate_backend($1, 5000)", killed[0])
            return await connection.fetchval(PID)

        assert await writer.retry(work_once_killed) not in killed
        assert (writer.connections, writer.interruptions) == (2, 1)
        writer.close()
        await owner.close()

    run(work)


@pytest.mark.usefixtures("sees_sessions")
def test_a_flush_tells_of_a_connection_that_was_lost_before(store: ServingStore) -> None:
    async def work() -> None:
        writer, other = DatabaseWriter(store, durable=True), await connect(store)
        assert await writer.flush() == await writer.flush() == 1
        await other.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where application_name = 'pollux-events' and datname = current_database()"
        )
        assert await writer.flush() == 2
        writer.close()
        await other.close()

    run(work)


@pytest.mark.parametrize(("durable", "setting"), [(True, "on"), (False, "off")])
def test_who_is_durable_waits_for_the_disk(
    store: ServingStore, durable: bool, setting: str
) -> None:
    async def work() -> None:
        writer = DatabaseWriter(store, durable=durable)
        show = "show synchronous_commit"
        assert await writer.retry(lambda connection: connection.fetchval(show)) == setting
        writer.close()

    run(work)


def test_what_the_database_refuses_is_raised_and_the_connection_stays(store: ServingStore) -> None:
    async def work() -> None:
        writer = DatabaseWriter(store, durable=False)
        pid = await writer.retry(lambda connection: connection.fetchval(PID))
        with pytest.raises(asyncpg.DivisionByZeroError):
            await writer.retry(lambda connection: connection.execute("select 1 / 0"))
        assert await writer.retry(lambda connection: connection.fetchval(PID)) == pid
        writer.close()

    run(work)


def test_two_that_wait_for_one_another_both_succeed(store: ServingStore) -> None:
    """A deadlock ends one of them, which is tried again."""

    async def work() -> None:
        other = await connect(store)
        await other.execute("create temporary table tried (count integer)")
        await other.execute(
            "create table if not exists events_deadlock (id integer primary key, n integer)"
        )
        await other.execute(f"grant all on events_deadlock to {store.events_role}")
        await other.execute("truncate events_deadlock")
        await other.execute("insert into events_deadlock values (1, 0), (2, 0)")
        writers = [DatabaseWriter(store, durable=False) for _ in range(2)]
        met = asyncio.Barrier(2)
        has_met = [False, False]

        async def add(connection: asyncpg.Connection, place: int) -> None:
            order = (1, 2) if place == 0 else (2, 1)
            update = "update events_deadlock set n = n + 1 where id = $1"
            async with connection.transaction():
                await connection.execute(update, order[0])
                if not has_met[place]:
                    has_met[place] = True
                    await met.wait()
                await connection.execute(update, order[1])

        await asyncio.gather(
            *(
                writer.retry(lambda connection, place=place: add(connection, place))
                for place, writer in enumerate(writers)
            )
        )
        rows = await other.fetch("select n from events_deadlock")
        assert [row[0] for row in rows] == [2, 2]
        await other.execute("drop table events_deadlock")
        for writer in writers:
            writer.close()
        await other.close()

    run(work)


@pytest.mark.usefixtures("sees_sessions")
def test_one_that_is_cancelled_leaves_no_answer_to_the_next(store: ServingStore) -> None:
    async def work() -> None:
        writer = DatabaseWriter(store, durable=False)
        sleeping = asyncio.create_task(
            writer.retry(lambda connection: connection.fetchval("select 1 from pg_sleep(60)"))
        )
        other = await connect(store)
        await until_row(
            other,
            "select count(*) from pg_stat_activity where state = 'active' "
            "and query like '%pg_sleep(60)' and pid <> pg_backend_pid()",
        )
        sleeping.cancel()
        assert await writer.retry(lambda connection: connection.fetchval("select 7")) == 7
        writer.close()
        await other.close()

    run(work)
