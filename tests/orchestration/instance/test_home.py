"""Dagster's configuration: limits and retention as they take effect."""

import socket
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance.ref import InstanceRef
from dagster._core.scheduler.instigation import TickStatus
from dagster._daemon.types import DaemonHeartbeat

from orchestration.instance.home import (
    STORAGE_VARIABLE,
    configuration,
    has_silent_daemons,
    is_code_there,
    prepare_home,
    storage_database,
    storage_url,
    workspace_file,
    write_workspace,
)
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings

DAY = {TickStatus.SKIPPED: 1, TickStatus.STARTED: 30, TickStatus.SUCCESS: 30}
DAY[TickStatus.FAILURE] = 30


def read(folder: Path, **settings: int) -> dg.DagsterInstance:
    """An instance by the configuration, but with a storage that needs no server."""
    found = configuration(Settings(data_dir=folder, **settings))
    home = folder / "dagster"
    home.mkdir()
    found["storage"] = {"sqlite": {"base_dir": str(home)}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(found))
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home)))


def test_a_run_has_an_end(tmp_path: Path) -> None:
    with read(tmp_path) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 2 * 60 * 60
        # A run that does not end when it is told to counts as ended all the same.
        assert instance.run_monitoring_cancel_timeout_seconds == 120


def test_how_long_a_run_may_take_is_a_setting(tmp_path: Path) -> None:
    with read(tmp_path, run_max_minutes=3) as instance:
        assert instance.run_monitoring_max_runtime_seconds == 180


@pytest.mark.parametrize("kind", list(InstigatorType))
def test_ticks_are_forgotten(tmp_path: Path, kind: InstigatorType) -> None:
    with read(tmp_path) as instance:
        assert instance.get_tick_retention_settings(kind) == DAY


@pytest.mark.integration
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_daemon_is_silent_when_any_thread_of_the_last_one_is(
    released: Settings, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    database = open_serving_store(released)
    assert not has_silent_daemons(database, 60), "there is no storage yet"
    prepare_home(released, database)
    # Dagster stores times without a zone.
    with database.connect(autocommit=True) as connection:
        name = storage_database(database)
        connection.execute(f"alter database {name} set timezone to '{zone}'")
    monkeypatch.setenv(STORAGE_VARIABLE, storage_url(database))
    reference = InstanceRef.from_dir(str(released.dagster_home))
    with dg.DagsterInstance.from_ref(reference) as instance:

        def told(daemon: str, process: str, seconds_ago: float) -> None:
            at = time.time() - seconds_ago
            instance.add_daemon_heartbeat(DaemonHeartbeat(at, daemon, process, errors=[]))

        told("SENSOR", "old", 3000)
        told("BACKFILL", "old", 3010)
        assert has_silent_daemons(database, 60)
        told("SENSOR", "new", 5)
        # What the old one ran is not the new one's.
        assert not has_silent_daemons(database, 60)
        told("MONITORING", "new", 61)
        assert has_silent_daemons(database, 60)
        told("MONITORING", "new", 1)
        assert not has_silent_daemons(database, 60)


def test_the_page_waits_until_the_code_server_answers(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.dagster_home.mkdir()
    workspace, address = workspace_file(settings), tmp_path / "code.sock"
    assert not is_code_there(workspace)
    write_workspace(settings, address)
    assert not is_code_there(workspace)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        # As a killed one leaves it.
        assert not is_code_there(workspace)
        server.listen()
        assert is_code_there(workspace)
