"""A run's process that ends before the run has started."""

from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.launcher import LaunchRunContext

from orchestration.instance import launcher
from orchestration.instance.launcher import ProcessRunLauncher
from tests.support.programs import wait_for


@dg.job
def build() -> None:
    pass


def test_a_run_whose_process_ends_as_it_starts_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLLUX_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(launcher, "sys", SimpleNamespace(executable="false"))
    with dg.DagsterInstance.local_temp() as instance:
        origin = dg.reconstructable(build).get_python_origin()
        run = instance.create_run_for_job(
            build, status=dg.DagsterRunStatus.STARTING, job_code_origin=origin
        )
        launching = ProcessRunLauncher()
        launching.register_instance(instance)
        launching.launch_run(LaunchRunContext(run, None))
        wait_for(lambda: instance.get_run_by_id(run.run_id).is_failure)
