"""The graph without its servers: what a run takes in, builds, releases, refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psutil
import pytest

from orchestration.defs.definitions import build_definitions
from orchestration.defs.release import release_key
from orchestration.defs.reporting import LogReporter
from orchestration.instance.home import MODULE
from orchestration.instance.in_process import execute
from orchestration.load import landing
from orchestration.load.run import load
from orchestration.release.registry import read_releases
from orchestration.transform.graph import needed_by
from orchestration.transform.manifest import read_manifest
from orchestration.transform.record import read_record
from pollux.personal import MASKED
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.builds import build_again

pytestmark = pytest.mark.integration

HEADER = (
    "AGE_DESC,MARITAL_STATUS_CODE,INCOME_DESC,HOMEOWNER_DESC,HH_COMP_DESC,HOUSEHOLD_SIZE_DESC,"
    "KID_CATEGORY_DESC,household_key\n"
)
HOUSEHOLD = "65+,A,35-49K,Homeowner,2 Adults No Kids,2,None/Unknown,{key}\n"


@pytest.fixture(scope="module")
def manifest(built: Settings) -> dict[str, Any]:
    return read_manifest(built)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def definitions(settings: Settings, manifest: dict[str, Any]) -> dg.Definitions:
    return build_definitions(manifest, retries=None, settings=settings, reporter=LogReporter())


def served(settings: Settings) -> list[tuple[int, bool]]:
    with open_serving_store(settings).connect() as connection:
        return [(row.number, row.is_current) for row in read_releases(connection)]


def inbox_of(settings: Settings) -> Path:
    folder = settings.inbox_dir / "household"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def drop(settings: Settings, name: str, content: str) -> None:
    (inbox_of(settings) / name).write_text(content)


def materialized(result: dg.JobExecutionResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization and event.asset_key is not None
    }


def checks(result: dg.JobExecutionResult) -> dict[str, bool]:
    found = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    return {evaluation.check_name: evaluation.passed for evaluation in found}


def failures(result: dg.JobExecutionResult) -> dict[str, str]:
    found = {}
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data.user_failure_data
            found[event.step_key] = (failure.description if failure else None) or str(
                event.step_failure_data.error
            )
    return found


@pytest.mark.endurance
def test_file_from_the_inbox_is_released_with_what_people_look_for(
    installation: Settings,
    sample_files: Path,
    manifest: dict[str, Any],
    instance: dg.DagsterInstance,
) -> None:
    # The first real file takes the place of the whole sample, so all come as real ones.
    for path in sample_files.iterdir():
        if path.name != "hh_demographic.csv":
            shutil.copy(path, inbox_of(installation))
    drop(installation, "hh_demographic_2024-03-23.csv", HEADER + HOUSEHOLD.format(key=1))
    job = definitions(installation, manifest).resolve_job_def("household")
    result = execute(job, instance)
    assert failures(result) == {}
    assert result.success
    found = materialized(result)
    landed = found["household/hh_demographic"]
    assert landed["dagster/row_count"] == 1
    assert landed["rejects"] == 0
    assert landed["files loaded now"] == "hh_demographic_2024-03-23.csv (landed)"
    assert landed["bytes"] > 0
    assert landed["seconds"] >= 0
    released = found["household/release"]
    assert released["release"] == 1
    assert released["bytes as Parquet"] > 0
    with open_serving_store(installation).connect() as connection:
        rows = connection.execute("select count(*) from household.products").fetchone()[0]
    mart = found["household/marts/products"]
    assert mart["dagster/row_count"] == rows
    assert mart["sample"].schema.columns[0].name == "product_id"
    assert mart["sample"].records[0].data["product_id"].isdigit()
    spent = found["household/marts/daily_hh_spend"]["sample"].records[0].data
    assert spent["household_key"] == MASKED
    assert float(spent["total_sales"]) > 0
    evaluated = checks(result)
    assert all(evaluated.values())
    assert "read_is_landed_and_rejected" in evaluated
    needed = needed_by(manifest, "household")
    tests = {
        node["name"]
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "test" and needed.issuperset(manifest["parent_map"][unique_id])
    }
    assert len(tests) > 50
    assert tests <= evaluated.keys()
    assert served(installation) == [(1, True)]
    assert not list((installation.inbox_dir / "household").iterdir())
    assert instance.get_dynamic_partitions("household/hh_demographic") == ["2024-03-23"]


def test_failing_test_blocks_the_release_and_is_named(
    released: Settings, manifest: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    break_a_test(released)
    result = execute(definitions(released, manifest).resolve_job_def("household"), instance)
    assert not result.success
    name = "unique_stg_complete_journey__demographics_household_key"
    assert checks(result)[name] is False
    assert name in failures(result)["dbt"]
    assert "household/release" not in materialized(result)
    assert not [key for key in materialized(result) if key.startswith("household/marts/")]
    record = read_record(released, "household")
    assert record is not None
    assert record.status == "failed"
    assert served(released) == [(1, True)]


def break_a_test(settings: Settings) -> None:
    """Lands a household a second time, which only a test of staging finds."""
    path = settings.data_dir / "hh_demographic_again.csv"
    path.write_text(HEADER + HOUSEHOLD.format(key=1))
    load(settings, domain="household", from_=path, sample=True)


def test_release_that_would_take_most_rows_is_a_failed_check(
    released: Settings, manifest: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    with duckdb.connect(released.warehouse_path) as warehouse:
        warehouse.execute("delete from warehouse_marts.hh_summary").fetchall()
    build_again(released)
    found = definitions(released, manifest)
    job = found.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={release_key("household")}
    )
    held = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not held.success
    (check,) = held.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("keeps_most_rows", False)
    assert "hh_summary" in check.metadata["marts"].text
    assert served(released) == [(1, True)]
    accepted = job.execute_in_process(
        instance=instance,
        run_config={"ops": {"household__release": {"config": {"accept_shrinking": True}}}},
    )
    assert accepted.success
    assert [c.passed for c in accepted.get_asset_check_evaluations()] == [True]
    assert served(released) == [(2, True), (1, False)]


def test_broken_file_is_set_aside_and_nothing_else_happens(
    released: Settings, manifest: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    before = landing.fingerprint(released, "household")
    drop(released, "product.csv", "PRODUCT_ID,MANUFACTURER\n1,2\n")
    drop(released, "holiday.jpg", "not for us")
    result = execute(definitions(released, manifest).resolve_job_def("household"), instance)
    assert not result.success
    # What came by events is another step's.
    assert materialized(result).keys() == {"events/basket_lines"}
    text = failures(result)["load_household"]
    assert "product.csv" in text
    assert "holiday.jpg matches no pattern" in text
    aside = {path.name[16:] for path in (released.inbox_dir / "failed/household").iterdir()}
    assert aside == {
        *("product.csv", "product.csv.reason.txt"),
        *("holiday.jpg", "holiday.jpg.reason.txt"),
    }
    rejects = list((released.rejects_dir / "household" / "product").glob("*product.csv.csv"))
    assert len(rejects) == 1
    assert "department" in rejects[0].read_text().lower()
    assert landing.fingerprint(released, "household") == before
    assert served(released) == [(1, True)]


def test_dates_of_a_dataset_are_loaded_again(
    installation: Settings, manifest: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    kept = installation.inbox_dir / "loaded" / "household"
    kept.mkdir(parents=True)
    shutil.rmtree(installation.landing_dir)
    for day in ("20240323", "20240324", "20240325"):
        content = HEADER + HOUSEHOLD.format(key=int(day))
        (kept / f"hh_demographic_{day}.csv").write_text(content)
    days = ["2024-03-23", "2024-03-24"]
    instance.add_dynamic_partitions("household/hh_demographic", [*days, "2024-03-25"])
    found = definitions(installation, manifest)
    job = found.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey(["household", "hh_demographic", "by_date"])}
    )
    # As a backfill in a single run tells it.
    result = job.execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": days[0],
            "dagster/asset_partition_range_end": days[1],
        },
    )
    assert result.success
    names = [part.name for part in landing.domain_parts(installation, "household")]
    assert names == ["hh_demographic_20240323.csv", "hh_demographic_20240324.csv"]


def test_changed_rules_are_not_run_unseen(
    installation: Settings, manifest: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    path = installation.dagster_home / "manifest.json"
    found = definitions(installation, manifest)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"fingerprint": "other"}))
    result = execute(found.resolve_job_def("household"), instance)
    assert "restart pollux dagster" in failures(result)["dbt"]


def validate(settings: Settings, home: Path) -> tuple[int, str]:
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-m", MODULE],
        env=os.environ | {"POLLUX_DATA_DIR": str(settings.data_dir), "DAGSTER_HOME": str(home)},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_code_location_is_valid(built: Settings, manifest: dict[str, Any], tmp_path: Path) -> None:
    code, said = validate(built, tmp_path / "home")
    assert code == 0, said
    assert "Validation successful" in said


def test_code_location_without_manifest_says_what_to_do(short_tmp: Path, tmp_path: Path) -> None:
    code, said = validate(Settings(data_dir=short_tmp / "none"), tmp_path / "home")
    assert code != 0
    assert "pollux build make it" in said


@pytest.mark.endurance
def test_interrupted_build_ends_its_dbt_and_says_so(installation: Settings) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "build"],
        env=os.environ | {"POLLUX_DATA_DIR": str(installation.data_dir)},
        cwd=PROJECT_DIR,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 600
    while not Path(f"{installation.warehouse_path}.wal").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert psutil.wait_procs(children, timeout=120)[1] == []
    record = read_record(installation, "household")
    assert record is not None
    assert record.status == "running"
