"""Old runs are deleted, except those that an asset's state depends on; what went is told."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from orchestration.defs.retention import build_retention_definitions, forget_runs
from orchestration.load.errors import LandingError
from orchestration.load.retention_note import Forgotten, read_note
from pollux.runtime.settings import Settings

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


def tick(instance: dg.DagsterInstance, settings: Settings) -> dg.SensorResult:
    definitions = build_retention_definitions()
    context = dg.build_sensor_context(
        instance=instance, definitions=definitions, resources={"settings": settings}
    )
    result = definitions.get_sensor_def("retention")(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_the_sensor_tells_what_went_and_notes_it(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    nothing = tick(instance, settings)
    assert nothing.asset_events == []
    assert nothing.skip_reason is not None
    assert "0 runs of Dagster, the text of 0 rejected rows" in str(nothing.skip_reason.skip_message)
    rejects = settings.rejects_dir / "shop" / "sales" / "a.csv.csv"
    rejects.parent.mkdir(parents=True)
    rejects.write_text("file,line,column,reason,raw\na.csv,2,id,no number,Anna\n")
    os.utime(rejects, (0, 0))
    (event,) = tick(instance, settings).asset_events
    assert event.asset_key == dg.AssetKey("retention")
    assert event.metadata["texts"].value == 1
    noted = read_note(settings)
    assert noted is not None
    assert noted.forgotten == Forgotten(texts=1)
    assert noted.problem == ""


def test_what_a_load_holds_waits_for_the_next_tick(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(*_: object) -> Forgotten:
        raise LandingError("the landing zone is held by process 7")

    monkeypatch.setattr("orchestration.defs.retention.forget_old", held)
    settings = Settings(data_dir=tmp_path)
    assert "held by process 7" in str(tick(instance, settings).skip_reason)
    noted = read_note(settings)
    assert noted is not None
    assert noted.problem == "the landing zone is held by process 7"
