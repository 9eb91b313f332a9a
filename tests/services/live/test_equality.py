"""Live rows over a release are what a build of everything gives: after anything, in any order."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from orchestration.build import build
from orchestration.transform.record import read_record
from pollux.runtime.live_models import LiveModels
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from services.live import batches
from services.live.metrics import LiveMetrics
from services.live.updater import Updater
from tests.support.installations import Prepared
from tests.support.kill_loops import KillLoop
from tests.support.kills import seconds_of, start
from tests.support.live_shops import Shop, Shops
from tests.support.live_worlds import (
    CUSTOMERS,
    ORDERS,
    PRODUCTS,
    Again,
    Buy,
    Erase,
    File,
    Follow,
    Line,
    Purchase,
    Release,
    Restart,
    Rollback,
    Step,
    random_purchase,
    world_of,
)

pytestmark = pytest.mark.integration

EXAMPLES = 6

line = st.builds(
    Line,
    st.integers(0, PRODUCTS - 1),
    st.sampled_from([0, 1, 2, 1200]),
    st.integers(0, 5000),
)
purchase = st.builds(
    Purchase,
    st.integers(0, CUSTOMERS - 1),
    st.integers(0, ORDERS - 1),
    st.one_of(st.integers(-6, 20), st.integers(0, 600)),
    st.lists(line, min_size=1, max_size=3).map(tuple),
)
buy = st.builds(Buy, purchase)
file = st.builds(File, st.lists(purchase, min_size=1, max_size=3).map(tuple))
others = st.one_of(
    buy,
    file,
    st.builds(Release),
    st.builds(Rollback),
    st.builds(Erase, st.integers(0, CUSTOMERS - 1)),
)
follow = st.builds(Follow, st.sampled_from([None, None, 1, 2]), st.none() | others)
steps = st.lists(
    st.one_of(
        buy, buy, buy, st.builds(Again, st.integers(0, 9)), others, st.builds(Restart), follow
    ),
    min_size=8,
    max_size=24,
)


@pytest.fixture(
    scope="module", params=[pytest.param("household", marks=pytest.mark.endurance), "store"]
)
def shops(prepared: Prepared, short_tmp: Path, request: pytest.FixtureRequest) -> Iterator[Shops]:
    source, folder = prepared.everything(), short_tmp / request.param
    found = Shops(source, source.warehouse_path, request.param, prepared.compiled(), folder)
    yield found
    found.close()


def bought(customer: int, order: int, days_ago: int, *products: int) -> Purchase:
    lines = tuple(Line(product, 1, 100 + product) for product in products)
    return Purchase(customer, order, days_ago, lines)


# Whatever can happen, once; the newcomer is customer 5, and order 0 is that of a file.
EVERYTHING: list[Step] = [
    Buy(bought(0, 2, 3, 0, 1)),
    Buy(bought(0, 0, 10, 1)),
    Buy(bought(1, 2, 400, 3, 4)),
    # Corrected, while what it corrects is computed.
    Follow(1, Buy(bought(0, 2, 4, 5))),
    Follow(None, None),
    # For everybody with live rows it is a later day.
    Buy(bought(5, 3, -2, 2)),
    Follow(None, None),
    File((bought(2, 1, 5, 0), bought(0, 2, 6, 3))),
    Buy(bought(3, 3, 0, 1, 2, 3)),
    Release(),
    Buy(bought(1, 6, 2, 2)),
    Buy(bought(4, 4, 7, 4)),
    Again(3),
    Follow(None, Release()),
    Buy(bought(2, 5, -4, 0)),
    Buy(bought(4, 4, 8, 2)),
    Follow(None, Erase(2)),
    Buy(bought(0, 7, 1, 1)),
    # What the later release held is live again.
    Follow(None, Rollback()),
    Restart(),
    Follow(None, None),
]


def test_after_everything_answers_are_those_of_a_build_of_everything(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(EVERYTHING, shops, tmp_path, monkeypatch)


@pytest.mark.endurance
@hypothesis_settings(
    max_examples=EXAMPLES,
    # Making an example smaller would take minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(done=steps)
def test_after_anything_in_any_order_answers_are_those_of_a_build_of_everything(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: list[Step]
) -> None:
    after(done, shops, tmp_path, monkeypatch)


def after(done: list[Step], shops: Shops, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that a few purchases are several batches.
    monkeypatch.setattr(batches, "MOST_ROWS", 7)
    monkeypatch.setattr(batches, "MOST_CUSTOMERS", 3)
    monkeypatch.setattr(batches, "MOST_BEHIND", 3)
    with world_of(shops, folder) as world:
        for step in done:
            world.do(step)
        world.check()


def build_and_release(settings: Settings, domain: str, compiled: Path, kept: Path) -> None:
    build(settings, [domain]).raise_if_failed()
    record = read_record(settings, domain)
    assert record is not None
    shop = Shop(settings, domain, json.loads(compiled.read_bytes()), kept)
    shop.keep(record.invocation_id)
    shop.release()


def follow(settings: Settings) -> None:
    store = open_serving_store(settings)
    metrics = LiveMetrics(CollectorRegistry())
    asyncio.run(Updater(settings, store, metrics, LiveModels).run())


@pytest.mark.endurance
def test_updater_postgres_and_build_killed_at_random_moments(
    shops: Shops, prepared: Prepared, tmp_path: Path, kill_loop: Callable[[str], KillLoop]
) -> None:
    loop = kill_loop("live rows")
    compiled = tmp_path / "manifest.json"
    compiled.write_text(json.dumps(prepared.compiled()))
    with world_of(shops, tmp_path) as world:
        shop = world.shop
        prepared.spare_parsing(shop.settings, moves=True)
        building = (build_and_release, shop.settings, shop.domain, compiled, shop.kept)
        seconds = seconds_of(*building)
        for turn in loop.tries():
            following = start("", follow, shop.settings)
            victim = loop.rng.choice(["updater", "updater", "PostgreSQL", "build"])
            building_now = start("", *building) if victim == "build" else None
            end = time.monotonic() + loop.rng.uniform(0.2, max(2.5, seconds if building_now else 0))
            while time.monotonic() < end:
                world.do(Buy(random_purchase(world, loop.rng)))
                time.sleep(0.02)
            if building_now is not None:
                kill_build(loop, building_now)
            elif victim == "PostgreSQL":
                shops.server.kill()
                loop.count_kill()
                shops.server.use()
                time.sleep(loop.rng.uniform(0, 1.5))
            is_killed = loop.kill(following) if victim == "updater" else following.kill()
            following.join()
            assert is_killed is not False
            if turn % 4 == 0:
                world.follower.settle()
                shop.assert_equal()
        world.follower.settle()
        shop.assert_equal(by_dbt=True)
        world.check()


def kill_build(loop: KillLoop, building: BaseProcess) -> None:
    """Kills a build alone, and dbt goes on for a while, or with dbt."""
    children = []
    if loop.rng.random() < 0.5:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(building.pid).children(recursive=True)
    loop.kill(building)
    for process in children:
        with suppress(psutil.NoSuchProcess):
            process.kill()
