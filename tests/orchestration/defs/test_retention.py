"""Old runs are deleted, except those that an asset's state depends on."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest

from orchestration.defs.retention import forget_runs

NOW = timedelta(0)


@dg.asset
def often() -> None:
    pass


@dg.asset
def once() -> None:
    pass


@dg.asset_check(asset=often)
def is_right() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp() as made:
        yield made


def run(instance: dg.DagsterInstance, *assets: object) -> str:
    return dg.materialize([*assets], instance=instance).run_id


def run_ids(instance: dg.DagsterInstance) -> set[str]:
    return {found.run_id for found in instance.get_runs()}


def test_only_runs_that_made_no_asset_last_are_forgotten(instance: dg.DagsterInstance) -> None:
    first = run(instance, once, often, is_right)
    second, third = (run(instance, often, is_right) for _ in range(2))
    assert forget_runs(instance, NOW) == 1
    assert run_ids(instance) == {first, third}
    assert instance.all_logs(second) == []
    assert instance.all_logs(first)
    for asset, made in ((once, first), (often, third)):
        event = instance.get_latest_materialization_event(asset.key)
        assert event is not None
        assert event.run_id == made
    checks = instance.event_log_storage.get_asset_check_execution_history(
        next(iter(is_right.check_keys)), limit=10
    )
    assert [check.run_id for check in checks] == [third, first]
    assert forget_runs(instance, NOW) == 0


def test_younger_runs_stay(instance: dg.DagsterInstance) -> None:
    both = {run(instance, often) for _ in range(2)}
    assert forget_runs(instance, timedelta(days=1)) == 0
    assert run_ids(instance) == both


def test_a_run_under_way_stays(instance: dg.DagsterInstance) -> None:
    waiting = instance.create_run_for_job(
        dg.Definitions(assets=[often], jobs=[dg.define_asset_job("job")]).resolve_job_def("job")
    )
    assert forget_runs(instance, NOW) == 0
    assert run_ids(instance) == {waiting.run_id}


def test_so_many_at_once_the_oldest_first(instance: dg.DagsterInstance) -> None:
    runs = [run(instance, often) for _ in range(5)]
    assert forget_runs(instance, NOW, limit=3) == 3
    assert run_ids(instance) == set(runs[3:])
    assert forget_runs(instance, NOW, limit=3) == 1
