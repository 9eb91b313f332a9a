"""The updater as it runs: at once, alone, through failures, and killed at any moment."""

import asyncio
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from orchestration.release import registry
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.events.database.migrate import prepare_database
from services.live.updater import Updater
from tests.conftest import PROJECT_DIR
from tests.services.api.support import embedded_store, release_all, wait_until
from tests.services.live.support import BASKETS, buy, compute, make_updater, release

pytestmark = pytest.mark.integration

KILLS = 20
HOUSEHOLDS = 12
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
        with found[1].connect(autocommit=True) as connection:
            release_all(connection, 1)
        with found[1].connect() as connection:
            prepare_database(connection, found[1])
            registry.prepare_store(connection, found[1])
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


def test_what_no_model_can_take_is_told_and_changes_nothing(
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
        owner.execute("update events.basket_lines set product_id = 1 where product_id = 666")
        wait_until(lambda: baskets(owner) == {1: 1, 2: 1}, seconds=10)
        wait_until(lambda: updater.problems == {}, seconds=10)


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


def test_many_customers_come_in_parts(store: Installation, owner: psycopg.Connection) -> None:
    expected = {}
    for household in range(1, 131):
        buy(owner, household, household)
        if household != 13:
            expected[household] = 1
    buy(owner, 1, 1000)
    compute(*store)
    assert baskets(owner) == expected | {1: 2}


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
    assert len(baskets(owner)) > 1
