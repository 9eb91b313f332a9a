"""The updater as it runs: at once, alone, through failures, and killed at any moment."""

import asyncio
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import psutil
import psycopg
import pytest
from prometheus_client import CollectorRegistry

from pollux.runtime.locks import KEEPALIVES
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.events.database import connection
from services.events.database.connection import connect_to_write
from services.live import repository
from services.live.app import create_app
from services.live.metrics import LiveMetrics
from services.live.updater import Updater
from tests.conftest import PROJECT_DIR
from tests.services.api.support import embedded_store, wait_until
from tests.services.live.support import (
    BASKETS,
    CountingModels,
    buy,
    compute,
    fill,
    make_updater,
    release,
)

pytestmark = pytest.mark.integration

KILLS = 20
# What was told of each household, in its order: nothing twice, and nothing left out.
BROKEN_CHAINS = """
select household_key
from (
    select
        *,
        lag(segment) over of_household as told_before,
        row_number() over of_household as place
    from events.segment_changes
    window of_household as (partition by household_key order by number)
) as changes
where
    segment is not distinct from segment_before
    or (place > 1 and segment_before is distinct from told_before)
union all
select household_key
from household__live.household_segments
where segment is distinct from (
    select changes.segment
    from events.segment_changes as changes
    where changes.household_key = household_segments.household_key
    order by number desc
    limit 1
)
"""
HOUSEHOLDS = 12
# Of a soak; memory in MiB.
BATCHES, MOST_GROWN = 2_000, 8
Installation = tuple[Settings, ServingStore]
# What rows say is what events say up to the number that is noted beside them.
HALF = """
select household_key
from household__live.live_customers as customers
full join household__live.household_rfm using (household_key)
where baskets is distinct from (
    select count(distinct basket_id)
    from events.basket_lines
    where basket_lines.household_key = customers.household_key and number <= customers.number
)
"""


@pytest.fixture
def store() -> Iterator[Installation]:
    with embedded_store() as found:
        fill(found[1])
        yield found


@pytest.fixture
def owner(store: Installation) -> Iterator[psycopg.Connection]:
    with store[1].connect(autocommit=True) as connection:
        release(connection, store[1], 2, 0)
        yield connection


@contextmanager
def running(installation: Installation) -> Iterator[Updater]:
    """An updater that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    updater = make_updater(*installation)
    task = loop.create_task(updater.run())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])))
    thread.start()
    try:
        yield updater
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def baskets(owner: psycopg.Connection) -> dict[int, int]:
    return {key: count for key, count, _ in owner.execute(BASKETS).fetchall()}


def test_an_updater_that_fails_ends_its_process(
    store: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_updater: Updater) -> None:
        raise PermissionError

    async def work() -> None:
        app = create_app(*store, CountingModels)
        app.state.server = SimpleNamespace(should_exit=False)
        async with app.router.lifespan_context(app):
            while not app.state.server.should_exit:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert [type(failure) for failure in app.state.failures] == [PermissionError]

    monkeypatch.setattr(Updater, "run", fail)
    asyncio.run(work())


def test_one_process_computes_and_another_takes_over(
    store: Installation, owner: psycopg.Connection
) -> None:
    with running(store) as first:
        wait_until(lambda: first.is_active, seconds=10)
        with running(store) as waiting:
            buy(owner, 1, 10)
            wait_until(lambda: baskets(owner) == {1: 1}, seconds=10)
            assert (first.is_active, waiting.is_active) == (True, False)
            first.close()
            wait_until(lambda: first.is_active or waiting.is_active, seconds=10)
            buy(owner, 1, 11)
            wait_until(lambda: baskets(owner) == {1: 2}, seconds=10)
            wait_until(lambda: first.is_active != waiting.is_active, seconds=10)


def test_what_no_model_can_take_is_told_and_stops_nobody_else(
    store: Installation, owner: psycopg.Connection
) -> None:
    with running(store) as updater:
        buy(owner, 1, 10)
        wait_until(lambda: baskets(owner) == {1: 1}, seconds=10)
        owner.execute(
            "insert into events.basket_lines (event_key, line, household_key, basket_id, day, "
            "product_id, quantity, sales_value) "
            "values (gen_random_uuid(), 1, 2, 11, 720, 666, 1, 1)"
        )
        wait_until(lambda: updater.problems == {"household": "ValueError"}, seconds=10)
        assert baskets(owner) == {1: 1}
        buy(owner, 3, 12)
        wait_until(lambda: baskets(owner) == {1: 1, 3: 1}, seconds=10)
        assert updater.problems == {"household": "ValueError"}
        owner.execute("update events.basket_lines set product_id = 1 where product_id = 666")
        wait_until(lambda: baskets(owner) == {1: 1, 2: 1, 3: 1}, seconds=10)
        wait_until(lambda: updater.problems == {}, seconds=10)


def test_one_whose_rows_no_model_can_take_stops_nobody_in_the_same_batch(
    store: Installation, owner: psycopg.Connection
) -> None:
    for household in range(1, 8):
        buy(owner, household, household)
    owner.execute("update events.basket_lines set product_id = 666 where household_key = 5")
    with running(store) as updater:
        expected = {household: 1 for household in range(1, 8) if household != 5}
        wait_until(lambda: baskets(owner) == expected, seconds=10)
        assert updater.problems == {"household": "ValueError"}


def test_a_database_that_is_away_is_waited_for(
    store: Installation, owner: psycopg.Connection
) -> None:
    with running(store) as updater:
        wait_until(lambda: updater.is_active, seconds=10)
        owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name like 'pollux-%' and pid <> pg_backend_pid()"
        )
        buy(owner, 1, 10)
        wait_until(lambda: baskets(owner) == {1: 1}, seconds=20)


def test_a_later_day_is_a_later_day_for_all(store: Installation, owner: psycopg.Connection) -> None:
    days = "select household_key, last_day from household__live.household_rfm order by 1"
    buy(owner, 1, 10, day=720)
    buy(owner, 2, 11, day=719)
    compute(*store)
    assert owner.execute(days).fetchall() == [(1, 720), (2, 720)]
    buy(owner, 2, 12, day=721)
    compute(*store)
    assert owner.execute(days).fetchall() == [(1, 721), (2, 721)]


def test_all_customers_are_looked_through_once_for_a_day(
    store: Installation, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    read_behind = repository.read_behind

    async def count(*arguments: Any) -> list[int]:
        looks.append(1)
        return await read_behind(*arguments)

    monkeypatch.setattr(repository, "read_behind", count)

    async def work() -> None:
        updater = make_updater(*store)
        try:
            for basket in range(1, 11):
                buy(owner, basket, basket)
                while await updater.update("household"):
                    pass
            before = len(looks)
            assert before <= 2
            buy(owner, 11, 11, day=721)
            while await updater.update("household"):
                pass
            assert before < len(looks) <= before + 2
        finally:
            updater.close()

    asyncio.run(work())
    days = "select distinct last_day from household__live.household_rfm"
    assert owner.execute(days).fetchall() == [(721,)]


def test_many_customers_come_in_parts(
    store: Installation, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.live.batches.MOST_CUSTOMERS", 50)
    expected = {}
    for household in range(1, 131):
        buy(owner, household, household)
        if household != 13:
            expected[household] = 1
    buy(owner, 1, 1000)
    compute(*store)
    assert baskets(owner) == expected | {1: 2}


def test_how_late_live_rows_are_is_told(store: Installation, owner: psycopg.Connection) -> None:
    registry = CollectorRegistry()
    folders: list[Path] = []

    def open_the_second_time(folder: Path) -> CountingModels:
        folders.append(folder)
        if len(folders) == 1:
            raise FileNotFoundError
        return CountingModels(folder)

    def lag() -> float | None:
        return registry.get_sample_value("pollux_live_lag_seconds", {"domain": "household"})

    async def work() -> None:
        updater = Updater(*store, LiveMetrics(registry), open_the_second_time)
        try:
            assert lag() == 0
            with pytest.raises(FileNotFoundError):
                await updater.update("household")
            assert 3600 <= (lag() or 0) < 3700
            while await updater.update("household"):
                pass
            assert lag() == 0
        finally:
            updater.close()

    buy(owner, 1, 10)
    owner.execute("update events.basket_lines set received_at = now() - interval '1 hour'")
    asyncio.run(work())
    assert baskets(owner) == {1: 1}


def test_a_lost_machine_keeps_the_lock_only_for_seconds(
    store: Installation, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[Mapping[str, str]] = []

    async def connect(database: ServingStore, session: Mapping[str, str]) -> asyncpg.Connection:
        sessions.append(session)
        return await connect_to_write(database, session)

    monkeypatch.setattr(connection, "connect_to_write", connect)
    buy(owner, 1, 10)
    compute(*store)
    # The first holds it.
    session = sessions[0]
    assert session.items() >= KEEPALIVES.items()
    assert session["synchronous_commit"] == "on"


@pytest.mark.endurance
def test_memory_stays_as_it_is_after_the_first_batches(
    store: Installation, owner: psycopg.Connection
) -> None:
    async def work() -> list[float]:
        updater = make_updater(*store)
        process = psutil.Process()
        found = []
        try:
            for batch in range(1, BATCHES + 1):
                buy(owner, batch % HOUSEHOLDS + 1, batch % 50)
                while await updater.update("household"):
                    pass
                # The households have as many rows as before.
                owner.execute("delete from events.basket_lines where number <= %s", [batch - 100])
                if batch % (BATCHES // 4) == 0:
                    found.append(process.memory_info().rss / 2**20)
        finally:
            updater.close()
        return found

    warm, *_, last = asyncio.run(work())
    print(f"{warm:.0f} MiB, and in the end {last:.0f} MiB")
    assert last < warm + MOST_GROWN


@pytest.mark.endurance
def test_killed_at_any_moment_nothing_is_half_and_nothing_is_missed(
    store: Installation, owner: psycopg.Connection
) -> None:
    seed = time.time_ns()
    print(f"random_seed {seed}")
    chance = random.Random(seed)
    command = [sys.executable, "-m", "tests.services.live.support", store[0].model_dump_json()]
    number = 2
    for turn in range(KILLS):
        with subprocess.Popen(command, cwd=PROJECT_DIR) as updater:
            wait = time.monotonic() + 2 + chance.random() * 2
            while time.monotonic() < wait:
                buy(owner, chance.randint(1, HOUSEHOLDS), turn * 1000 + chance.randint(1, 999))
                assert owner.execute(HALF).fetchall() == []
            updater.send_signal(signal.SIGKILL)
        assert owner.execute(HALF).fetchall() == []
        assert owner.execute(BROKEN_CHAINS).fetchall() == []
        if turn % 3 == 2:
            number += 1
            ((last,),) = owner.execute("select max(number) from events.basket_lines").fetchall()
            release(owner, store[1], number, last - chance.randint(0, 9))
            assert owner.execute(HALF).fetchall() == []
    compute(*store)
    held = owner.execute("select last_event from release.live where number = %s", [number])
    counted = owner.execute(
        "select household_key, count(distinct basket_id) from events.basket_lines "
        "group by 1 having max(number) > %s",
        held.fetchone(),
    )
    assert baskets(owner) == dict(counted.fetchall())
    assert owner.execute(BROKEN_CHAINS).fetchall() == []
    messages = "select answer_id from events.outbox order by number"
    changes = "select answer_id from events.segment_changes order by number"
    assert owner.execute(messages).fetchall() == owner.execute(changes).fetchall() != []
    assert len(baskets(owner)) > 1
