"""Thousands of events of all customers: every row that is answered is that of a build by dbt.

`POLLUX_TEST_LIVE_EVENTS` is how many, `POLLUX_TEST_LIVE_SCALE` the scale of a sample that is made
for it; without that it is the small one that all tests share.
"""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.learn.recommend.land import learn_if_due
from orchestration.load.run import load
from pollux.runtime.settings import Settings
from sample.generate import generate
from tests.support.installations import Prepared
from tests.support.kill_loops import SEED
from tests.support.live_shops import Shops
from tests.support.live_worlds import (
    Again,
    Buy,
    Erase,
    Purchase,
    Release,
    Step,
    World,
    random_lines,
    random_purchase,
    world_of,
)

pytestmark = [pytest.mark.integration, pytest.mark.endurance]

EVENTS = int(os.environ.get("POLLUX_TEST_LIVE_EVENTS", "400"))
SCALE = os.environ.get("POLLUX_TEST_LIVE_SCALE")
DOMAINS = ("household", "store")
# How often the updater computes some meanwhile, and somebody is erased, about.
STEPS, ERASURES = 40, 8


@pytest.fixture(scope="module")
def source(prepared: Prepared, short_tmp: Path) -> Settings:
    """An installation in which the sample has landed."""
    if SCALE is None:
        return prepared.everything()
    settings = Settings(data_dir=short_tmp / "source", database_url=None)
    for domain in DOMAINS:
        files = short_tmp / "files" / domain
        generate(domain, files, scale=float(SCALE), seed=1)
        load(settings, domain=domain, from_=files)
    prepared.spare_parsing(settings, moves=True)
    assert learn_if_due(settings)
    return settings


def many(world: World, chance: random.Random) -> Iterator[Step]:
    """New purchases, of any day; some corrected, given to others, or sent again; erasures."""
    bought: list[Purchase] = []
    kinds = ("new", "corrected", "again", "erased")
    for _ in range(EVENTS):
        kind = chance.choices(kinds, [70, 20, 8, 100 * ERASURES / EVENTS])[0]
        if kind == "again":
            yield Again(chance.randrange(10**6))
        elif kind == "erased":
            yield Erase(chance.randrange(len(world.customers)))
        else:
            purchase = random_purchase(world, chance)
            if kind == "corrected" and bought:
                purchase = replace(chance.choice(bought), lines=random_lines(world, chance))
            bought.append(purchase)
            yield Buy(purchase)


@pytest.mark.parametrize("domain", DOMAINS)
def test_after_many_events_every_row_is_that_of_a_build_of_everything(
    prepared: Prepared, source: Settings, short_tmp: Path, tmp_path: Path, domain: str
) -> None:
    seed = int(SEED or random.randrange(10**6))
    print("seed", seed)
    warehouse = prepared.everything().warehouse_path
    shops = Shops(source, warehouse, domain, prepared.compiled(), short_tmp / domain)
    with closing(shops), world_of(shops, tmp_path, is_whole=True) as world:
        for number, step in enumerate(many(world, random.Random(seed)), start=1):
            world.do(step)
            if number % (EVENTS // STEPS) == 0:
                world.follower.step()
            if number == EVENTS // 3:
                # Some rows go with it, some stay.
                world.do(Release())
        world.follower.settle()
        rows = world.shop.assert_equal(by_dbt=True)
        print(rows, "rows,", len(world.shop.erased), "erased")
        assert world.shop.erased
        world.check()
