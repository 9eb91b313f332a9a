"""Builds and learning killed at random moments: what is served stays, the next one is right."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

import duckdb
import psutil
import pyarrow.parquet as pq
import pytest

from orchestration.build import build
from orchestration.learn.propensity.pairs import read_pairs
from orchestration.learn.propensity.training import train_on
from orchestration.learn.recommend.land import learn_if_due, read_note
from orchestration.transform.record import read_record
from pollux.propensity import current_id, models_dir, read_current
from pollux.runtime.settings import Settings
from tests.orchestration.release.test_release_kills import assert_is_whole
from tests.support.histories import open_sample
from tests.support.kills import seconds_of, start
from tests.support.marts import declared_marts

pytestmark = pytest.mark.endurance

DOMAIN = "household"


def differing_rows(settings: Settings, other: Settings) -> dict[str, int]:
    """Rows of each mart that only one of two installations has."""
    record = read_record(settings, DOMAIN)
    assert record is not None
    with duckdb.connect() as engine:
        for name, installation in (("a", settings), ("b", other)):
            engine.execute(f"attach '{installation.warehouse_path}' as {name} (read_only)")
        found = {}
        for table in record.tables:
            here, there = (f"from {name}.{table.schema}.{table.name}" for name in "ab")
            ((found[table.name],),) = engine.execute(
                f"select count(*) from (({here} except all {there})"
                f" union all ({there} except all {here}))"
            ).fetchall()
    return found


def test_build_killed_at_random_moments(released: Settings, built: Settings, kill_loop) -> None:
    loop = kill_loop("build")
    seconds = seconds_of(build, released, [DOMAIN])
    for _ in loop.tries():
        building = start("", build, released, [DOMAIN])
        time.sleep(loop.rng.uniform(0, seconds))
        # Alone, or with dbt: then nobody is left to hold the warehouse.
        with_dbt = loop.rng.random() < 0.5
        children = []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(building.pid).children(recursive=True) if with_dbt else []
        is_killed = loop.kill(building)
        for process in children:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        record = read_record(released, DOMAIN)
        assert record is not None
        assert is_killed or record.status == "passed"
        assert_is_whole(released, 1)
    build(released, [DOMAIN]).raise_if_failed()
    differing = differing_rows(released, built)
    assert differing == dict.fromkeys((mart["name"] for mart in declared_marts(DOMAIN)), 0)


def test_recommending_killed_at_random_moments(
    installation: Settings, built: Settings, kill_loop
) -> None:
    loop = kill_loop("learn")
    folder = installation.landing_dir / "learned" / "product_recommendations"
    note = folder / "product_recommendations.json"
    (part,) = folder.glob("product_recommendations*.parquet")
    expected = pq.read_table(part)
    note.unlink()
    seconds = seconds_of(learn_if_due, installation)
    for _ in loop.tries():
        note.unlink(missing_ok=True)
        loop.kill_within(seconds, start("", learn_if_due, installation))
        # What builds read is whole at any moment.
        assert pq.read_table(part).num_rows == expected.num_rows
        assert read_note(installation).get("rows", expected.num_rows) == expected.num_rows
    learn_if_due(installation)
    assert pq.read_table(part).equals(expected)
    assert read_note(installation)["rows"] == expected.num_rows


def test_training_killed_at_random_moments(
    trained_store, store_files: Path, tmp_path: Path, kill_loop
) -> None:
    loop = kill_loop("learn")
    settings = Settings(data_dir=tmp_path / "data")
    root = models_dir(settings)
    shutil.copytree(models_dir(trained_store[0]), root, symlinks=True)
    with open_sample(store_files) as history:
        pairs = read_pairs(history)
    seconds = seconds_of(train_on, settings, pairs, data="sample", seed=1)
    for number in loop.tries():
        training = start("", train_on, settings, pairs, data="sample", seed=number)
        loop.kill_within(seconds, training)
        # Whichever is promoted can be read and scores.
        assert read_current(root) is not None
        assert (root / str(current_id(root))).is_dir()
    card = train_on(settings, pairs, data="sample", seed=1)
    assert card.is_promoted
    assert current_id(root) == card.id
