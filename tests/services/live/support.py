"""What tests of live rows share: releases whose rows count baskets, and models that do so.

The models stand for a release's own: what they compute can be told by eye. A household's `baskets`
are those of its events, `first_day` is the number of the release that was computed on; its segment
is named after its baskets.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import CollectorRegistry

from orchestration.release import live, registry
from orchestration.release.live import LiveRelease
from pollux.runtime.live import grant_released
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import Settings
from services.events.database.migrate import prepare_database
from services.live.batches import OpenModels
from services.live.metrics import LiveMetrics
from services.live.updater import Updater
from tests.services.api.support import release_all, write_release
from tests.support.live_events import take_in

MARTS = ("household_rfm", "household_segments")
BASKETS = "select household_key, baskets, first_day from household__live.household_rfm order by 1"
COUNTED = """
(
    select household_key, count(distinct basket_id) as baskets
    from events.basket_lines
    where number <= %(last)s
    group by 1
) as found
"""
RELEASED = f"""
update household__r{{number}}.household_rfm
set baskets = found.baskets
from {COUNTED}
where found.household_key = household_rfm.household_key;
update household__r{{number}}.household_segments
set segment = found.baskets || ' baskets'
from {COUNTED}
where found.household_key = household_segments.household_key
"""
TOPIC = "pollux/segment-changed"


def fill(store: ServingStore) -> None:
    """Releases every domain once, and makes the tables of events and live rows."""
    with store.connect(autocommit=True) as connection:
        release_all(connection, 1)
    with store.connect() as connection:
        prepare_database(connection, store)
        registry.prepare_store(connection, store)


class CountingModels:
    """Counts a household's baskets; nobody without one, or of household 13, is in scope."""

    def __init__(self, folder: Path) -> None:
        self._release = int(folder.parent.name.removeprefix("r"))

    def look_again(self) -> None:
        pass

    def compute(
        self, keys: Sequence[int], lines: pa.Table, live_day: int | None
    ) -> dict[str, pa.Table]:
        if lines.num_rows and pc.any(pc.equal(lines["product_id"], 666)).as_py():
            raise ValueError("a product that no model can take")
        counted = lines.group_by("household_key").aggregate([("basket_id", "count_distinct")])
        found = dict(zip(*(column.to_pylist() for column in counted.columns), strict=True))
        shown = [key for key in keys if found.get(key) and key != 13]
        return {
            "household_rfm": pa.table(
                {
                    "household_key": pa.array(shown, pa.int64()),
                    "baskets": pa.array([found[key] for key in shown], pa.int64()),
                    "first_day": pa.array([self._release] * len(shown), pa.int32()),
                    "last_day": pa.array([live_day] * len(shown), pa.int32()),
                    "has_demographics": pa.array([False] * len(shown), pa.bool_()),
                }
            ),
            "household_segments": pa.table(
                {
                    "household_key": pa.array(shown, pa.int64()),
                    "segment": pa.array([f"{found[key]} baskets" for key in shown], pa.string()),
                    "why": pa.array([f"{found[key]} baskets" for key in shown], pa.string()),
                }
            ),
        }

    def close(self) -> None:
        pass


def make_updater(
    settings: Settings, store: ServingStore, models: OpenModels = CountingModels
) -> Updater:
    metrics = LiveMetrics(CollectorRegistry())
    return Updater(settings, store, metrics, models, segment_topic=TOPIC)


def compute(settings: Settings, store: ServingStore, models: OpenModels = CountingModels) -> None:
    """Computes until nothing is left to do."""

    async def work() -> None:
        updater = make_updater(settings, store, models)
        try:
            while await updater.update("household"):
                pass
        finally:
            updater.close()

    asyncio.run(work())


def buy(connection: psycopg.Connection, household: int, basket: int, *, day: int = 720) -> int:
    """Takes in a basket of one line; returns its number."""
    row = {"household_key": household, "basket_id": basket, "day": day}
    take_in(connection, "basket_lines", [row])
    ((number,),) = connection.execute("select max(number) from events.basket_lines").fetchall()
    return int(number)


def release(
    connection: psycopg.Connection,
    store: ServingStore,
    number: int,
    last_event: int,
    marts: Sequence[str] = MARTS,
    *,
    new: bool = True,
) -> None:
    """Switches to a release in which events up to a number are."""
    followed = LiveRelease(last_event, marts)
    if new:
        write_release(connection, number)
        for statement in RELEASED.format(number=number).split(";"):
            connection.execute(statement.encode(), {"last": last_event})
        grant_released(connection, store.events_role)
    with connection.transaction():
        live.take_over(connection, store, "household", number, followed)
        if new:
            live.enter(connection, "household", number, followed)
        registry.switch(connection, "household", number)


if __name__ == "__main__":
    used = Settings.model_validate_json(sys.argv[1])
    asyncio.run(make_updater(used, open_serving_store(used)).run())
