"""Runs each run in its own process, which outlives daemon and code server.

With Dagster's own launcher the processes are children of the code server: when it ends, or loses
the database for a moment, nobody knows which runs are dead. Here a note holds each process's number
and start time (`workers`), and the daemon's run monitoring checks it.
"""

import sys
from collections.abc import Mapping
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from dagster import DagsterRun, DagsterRunStatus
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from orchestration.instance.workers import note_worker, worker, workers
from pollux.runtime.processes import end, start
from pollux.runtime.settings import Settings

if TYPE_CHECKING:
    import subprocess

# How long a run may take to end when it is told to.
STOP_SECONDS = 30


class ProcessRunLauncher(RunLauncher, ConfigurableClass):
    """Launches runs as processes on this machine."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The configuration from which Dagster made this."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> Self:
        """Makes the launcher that dagster.yaml names."""
        return cls(inst_data)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: the process's number tells."""
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        """Starts the process of a run."""
        run = context.dagster_run
        origin = context.job_code_origin
        assert origin is not None  # noqa: S101
        arguments = ExecuteRunArgs(
            job_origin=origin, run_id=run.run_id, instance_ref=self._instance.get_ref()
        )
        # Dagster's own command for it, run by this Python whatever the PATH.
        command = [
            sys.executable,
            "-m",
            "dagster",
            "api",
            "execute_run",
            serialize_value(arguments),
        ]
        settings = Settings()
        self._forget_ended(settings)
        settings.logs_dir.mkdir(parents=True, exist_ok=True)
        with (settings.logs_dir / "dagster-runs.log").open("ab") as log:
            process = start(command, partial(note_worker, settings, run.run_id), log=log)
        self._children[run.run_id] = process
        self._instance.report_engine_event(f"Started process {process.pid}.", run)
        Thread(target=self._fail_if_starting, args=[run.run_id, process], daemon=True).start()

    def _fail_if_starting(self, run_id: str, process: "subprocess.Popen[bytes]") -> None:
        """Waits for the process of a run, which has failed if it ends before it has started.

        Run monitoring asks only for runs that have started.
        """
        code = process.wait()
        run = self._instance.get_run_by_id(run_id)
        if run is not None and run.status is DagsterRunStatus.STARTING:
            self._instance.report_run_failed(run, f"Its process ended with {code} as it started.")

    def _forget_ended(self, settings: Settings) -> None:
        # Polling a child that has ended reaps it.
        self._children = {k: child for k, child in self._children.items() if child.poll() is None}
        workers(settings)

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run still runs."""
        child = self._children.get(run.run_id)
        if child is not None and child.poll() is not None:
            return CheckRunHealthResult(WorkerStatus.FAILED, f"ended with {child.returncode}")
        if worker(Settings(), run.run_id) is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        """Tells the process of a run to end, as Ctrl-C would."""
        run = self._instance.get_run_by_id(run_id)
        process = worker(Settings(), run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if process is None:
            self._instance.report_run_canceled(run, "Its process was gone.")
            return True
        # A run that hangs would keep the warehouse and its slot in the queue.
        Thread(target=end, args=[process], kwargs={"seconds": STOP_SECONDS}, daemon=True).start()
        return True
