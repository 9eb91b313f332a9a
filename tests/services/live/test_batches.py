"""Batches overlap: while one is written, the next is computed, and is nothing without it.

The models are stand-ins (`support`): a household's `baskets` are those of its events.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from pollux.runtime import erasures
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from services.common.database import COMMAND_SECONDS
from services.live.metrics import LiveMetrics
from services.live.updater import Updater
from tests.services.live.support import BASKETS, TOPIC, CountingModels, buy, compute, release
from tests.services.live.test_updater import BROKEN_CHAINS, HALF

pytestmark = pytest.mark.integration

Installation = tuple[Settings, ServingStore]
CUSTOMERS = "household__live.live_customers"
REFUSED = f"alter table {CUSTOMERS} add constraint refused check (false) not valid"
ALLOWED = f"alter table {CUSTOMERS} drop constraint refused"
DAYS = "select household_key, last_day from household__live.household_rfm order by 1"
IN_ORDER = f"select household_key from {CUSTOMERS} order by revision"


class Followed:
    """An updater, step by step: of one customer in each batch, and who was computed so far."""

    def __init__(self, store: Installation) -> None:
        self.registry = CollectorRegistry()
        self.computed: list[int] = []
        self.looks = 0
        # Done once after so many batches were computed.
        self.after: dict[int, Callable[[], object]] = {}
        self._updater = Updater(*store, LiveMetrics(self.registry), self._open, segment_topic=TOPIC)

    async def step(self) -> bool:
        return await self._updater.update("household")

    async def stepping(self, computed: int) -> asyncio.Task[bool]:
        """The next step, once so many batches are computed: what it does then waits."""
        task = asyncio.create_task(self.step())
        # Before a write that waits is given up.
        async with asyncio.timeout(COMMAND_SECONDS - 1):
            while len(self.computed) < computed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return task

    async def settle(self) -> None:
        while await self.step():
            pass

    @property
    def lag(self) -> float:
        lag = self.registry.get_sample_value("pollux_live_lag_seconds", {"domain": "household"})
        assert lag is not None
        return lag

    def run(self, work: Callable[["Followed"], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(self._run(work))

    async def _run(self, work: Callable[["Followed"], Coroutine[Any, Any, None]]) -> None:
        try:
            async with asyncio.timeout(30):
                # It is told of the release before.
                assert not await self.step()
                await work(self)
        finally:
            self._updater.close()

    def _open(self, folder: Path) -> CountingModels:
        return _Recording(folder, self)


class _Recording(CountingModels):
    def __init__(self, folder: Path, followed: Followed) -> None:
        super().__init__(folder)
        self._followed = followed

    def look_again(self) -> None:
        self._followed.looks += 1

    def compute(
        self, keys: Sequence[int], lines: pa.Table, live_day: int | None
    ) -> dict[str, pa.Table]:
        found = super().compute(keys, lines, live_day)
        self._followed.after.pop(len(self._followed.computed) + 1, lambda: None)()
        self._followed.computed += keys
        return found


@pytest.fixture
def followed(store: Installation, monkeypatch: pytest.MonkeyPatch) -> Followed:
    monkeypatch.setattr("services.live.batches.MOST_CUSTOMERS", 1)
    return Followed(store)


@contextmanager
def held(store: Installation) -> Iterator[psycopg.Connection]:
    """A transaction that every write of households waits for."""
    with store[1].connect() as connection:
        connection.execute("select from live.followed where domain = 'household' for update")
        yield connection


def shown(owner: psycopg.Connection) -> dict[int, tuple[int, int]]:
    """Baskets of each household, and the release that they were computed on."""
    assert owner.execute(HALF).fetchall() == owner.execute(BROKEN_CHAINS).fetchall() == []
    return {key: (count, number) for key, count, number in owner.execute(BASKETS).fetchall()}


def test_the_next_is_computed_while_one_is_written_and_written_after_it(
    store: Installation, owner: psycopg.Connection, first: int, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        with held(store):
            buy(owner, 1, 10)
            assert await followed.step()
            # The first of them again: its later rows are those that stay.
            buy(owner, 2, 11)
            buy(owner, 1, 12)
            owner.execute("update events.basket_lines set received_at = now() - '1 hour'::interval")
            step = await followed.stepping(2)
            assert followed.computed == [1, 2]
            assert shown(owner) == {}
            assert not step.done()
            assert 3600 <= followed.lag < 3700
        assert await step
        await followed.settle()
        assert followed.computed == [1, 2, 1]
        assert followed.lag == 0

    followed.run(work)
    assert shown(owner) == {1: (2, first), 2: (1, first)}
    assert owner.execute(IN_ORDER).fetchall() == [(2,), (1,)]


@pytest.mark.usefixtures("first")
def test_files_that_an_erasure_replaced_are_closed_though_nobody_buys(followed: Followed) -> None:
    async def work(followed: Followed) -> None:
        before = followed.looks
        assert not await followed.step()
        assert followed.looks == before + 1
        assert followed.computed == []

    followed.run(work)


def test_what_waits_to_be_written_is_late(
    store: Installation, owner: psycopg.Connection, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        with held(store):
            buy(owner, 1, 10)
            owner.execute("update events.basket_lines set received_at = now() - '1 hour'::interval")
            assert await followed.step()
            buy(owner, 2, 11)
            step = await followed.stepping(2)
            assert followed.lag >= 3600
        await step
        assert followed.lag < 60
        await followed.settle()

    followed.run(work)


def test_what_was_computed_after_a_failed_write_is_discarded(
    store: Installation, owner: psycopg.Connection, first: int, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        buy(owner, 1, 10)
        buy(owner, 2, 11)
        owner.execute(REFUSED)
        with held(store):
            assert await followed.step()
            step = await followed.stepping(2)
        with pytest.raises(asyncpg.CheckViolationError):
            await step
        owner.execute(ALLOWED)
        number = owner.execute("select number from live.followed where domain = 'household'")
        assert number.fetchall() == [(0,)]
        assert shown(owner) == {}
        await followed.settle()
        assert followed.computed == [1, 2, 1, 2]

    followed.run(work)
    assert shown(owner) == {1: (1, first), 2: (1, first)}


@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_release_between_two_batches_makes_both_begin_again(
    store: Installation, owner: psycopg.Connection, first: int, followed: Followed, when: int
) -> None:
    async def work(followed: Followed) -> None:
        for household in (1, 2, 3):
            buy(owner, household, household)
        followed.after[when] = lambda: release(owner, store[1], first + 1, 1)
        await followed.settle()

    followed.run(work)
    # The purchase of household 1 is in it.
    assert shown(owner) == {2: (1, first + 1), 3: (1, first + 1)}


def test_a_release_that_is_quicker_than_a_write_discards_what_follows(
    store: Installation, owner: psycopg.Connection, first: int, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        buy(owner, 1, 10)
        buy(owner, 2, 11)
        with held(store) as switching:
            assert await followed.step()
            followed.after[2] = lambda: release(switching, store[1], first + 1, 0)
            step = await followed.stepping(2)
        assert await step
        assert shown(owner) == {}
        await followed.settle()

    followed.run(work)
    assert shown(owner) == {1: (1, first + 1), 2: (1, first + 1)}


def test_who_was_erased_while_another_s_rows_were_written_is_not_written(
    store: Installation, owner: psycopg.Connection, first: int, followed: Followed
) -> None:
    def erase() -> None:
        with store[1].connect() as connection:
            erasures.erase(connection, Subject("household", "2"))

    async def work(followed: Followed) -> None:
        for household in (1, 2, 3):
            buy(owner, household, household)
        followed.after[2] = erase
        await followed.settle()

    followed.run(work)
    assert shown(owner) == {1: (1, first), 3: (1, first)}
    assert owner.execute(IN_ORDER).fetchall() == [(1,), (3,)]


def test_a_later_day_reaches_those_who_are_being_written(
    store: Installation, owner: psycopg.Connection, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        with held(store):
            buy(owner, 1, 10, day=720)
            assert await followed.step()
            buy(owner, 2, 11, day=725)
            step = asyncio.create_task(followed.step())
            # Time to look for whose day is an earlier one, who is not to be found yet.
            await asyncio.sleep(0.3)
        assert await step
        async with asyncio.timeout(10):
            while 2 not in shown(owner):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await followed.settle()

    followed.run(work)
    assert owner.execute(DAYS).fetchall() == [(1, 725), (2, 725)]


def test_a_later_day_that_is_not_written_is_tried_again_for_all(
    store: Installation, owner: psycopg.Connection, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        buy(owner, 1, 10, day=720)
        await followed.settle()
        buy(owner, 2, 11, day=725)
        owner.execute(REFUSED)
        with pytest.raises(asyncpg.CheckViolationError):
            await followed.settle()
        owner.execute(ALLOWED)
        await followed.settle()

    followed.run(work)
    assert owner.execute(DAYS).fetchall() == [(1, 725), (2, 725)]


def test_who_cannot_be_computed_while_others_are_written_is_not_forgotten(
    store: Installation, owner: psycopg.Connection, first: int, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        for household in (1, 2, 1, 3):
            buy(owner, household, household)
        owner.execute("update events.basket_lines set product_id = 666 where household_key = 2")
        await followed.settle()
        assert shown(owner).keys() == {1, 3}
        owner.execute("update events.basket_lines set product_id = 1")
        async with asyncio.timeout(10):
            while shown(owner).keys() != {1, 2, 3}:
                await followed.settle()

    followed.run(work)


def test_ended_between_two_batches_nothing_is_half(
    store: Installation, owner: psycopg.Connection, first: int, followed: Followed
) -> None:
    async def work(followed: Followed) -> None:
        for household in (1, 2, 3):
            buy(owner, household, household)
        assert await followed.step()
        with held(store):
            step = await followed.stepping(2)
            step.cancel()

    followed.run(work)
    assert shown(owner).keys() <= {1}
    compute(*store)
    assert shown(owner) == {1: (1, first), 2: (1, first), 3: (1, first)}
