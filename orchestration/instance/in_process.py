"""Runs the graph in this process, as `pollux up` does, before there is a server of Dagster.

Belongs here: the run and its outcome. Does not belong here: how it is shown (`cli`), and the build
of `pollux build`, which is no run of Dagster (`orchestration.chain`).
"""

import itertools
import logging
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from orchestration import chain
from orchestration.build import BuildReport
from orchestration.chain import Console, Outcome, Step
from orchestration.release.errors import ReleaseError
from orchestration.release.publish import ReleaseReport
from orchestration.transform.manifest import read_manifest
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings

# Before dagster is imported, which may read it at once.
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"

import dagster as dg
from dagster import JobDefinition
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import ErrorSource
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import OperationalError

from orchestration.defs.definitions import build_definitions
from orchestration.defs.release import release_key
from orchestration.defs.resources import EXECUTOR
from orchestration.instance.home import STORAGE_VARIABLE, prepare_home, storage_url

JOB = "build"


@dataclass
class _Reporter:
    """Shows a run at the console and collects its outcome."""

    console: Console
    outcome: Outcome = field(default_factory=Outcome)
    error: Exception | None = None

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Opens a task at the console."""
        return self.console.step(title)

    def built(self, report: BuildReport) -> None:
        """Keeps the report of the build and shows its notes."""
        self.outcome.build = report
        for text in report.notes:
            self.console.note(text)

    def released(self, report: ReleaseReport) -> None:
        """Keeps the report of a release and shows its notes."""
        self.outcome.releases.append(report)
        for text in report.notes:
            self.console.note(text)

    def refused(self, error: Exception) -> None:
        """Keeps why a release was refused, or the first error of any other step."""
        if isinstance(error, ReleaseError):
            self.outcome.refusals.append(str(error))
        elif self.error is None:
            self.error = error


# The jobs by number: `execute_job` takes no object, and keeps the job it got.
_jobs: dict[int, JobDefinition] = {}
_numbers = itertools.count()


def job_of_number(number: int) -> JobDefinition:
    """A job that is being run."""
    return _jobs[number]


def execute(
    job: JobDefinition,
    instance: dg.DagsterInstance,
) -> dg.JobExecutionResult:
    """Runs a job by its own executor, quietly; a failure is in the result."""
    number = next(_numbers)
    _jobs[number] = job
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dg.execute_job(
                dg.build_reconstructable_job(
                    __name__, job_of_number.__name__, reconstructable_args=(number,)
                ),
                instance=instance,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
    finally:
        del _jobs[number]
        # Dagster turns SIGTERM into a Ctrl-C and does not restore the handler.
        signal.signal(signal.SIGTERM, terminate)


def run_graph(settings: Settings, domains: Sequence[str], console: Console) -> Outcome:
    """Does what `orchestration.chain.run` does, as a run that Dagster's page shows.

    It needs a process alone with the data folder. Raises `ManifestError` if no manifest was
    prepared.
    """
    reporter = _Reporter(console)
    definitions = build_definitions(
        read_manifest(settings), retries=None, settings=settings, reporter=reporter
    )
    try:
        with _instance(settings) as instance:
            result = execute(_job(definitions, domains), instance)
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    except (DagsterPostgresException, OperationalError):
        console.note("Dagster's database went away; the build starts again without it.")
        return chain.run(settings, domains, console, release=True)
    if any(
        event.is_step_failure and event.step_failure_data.error_source == ErrorSource.INTERRUPT
        for event in result.all_events
    ):
        raise KeyboardInterrupt
    if reporter.error is not None:
        raise reporter.error
    if reporter.outcome.build is None:
        # None of Pollux's steps failed, so Dagster itself did.
        failed = [event.message for event in result.all_events if event.is_failure]
        raise RuntimeError("\n".join(filter(None, failed)))
    return reporter.outcome


@contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    database = open_serving_store(settings)
    prepare_home(settings, database)
    os.environ[STORAGE_VARIABLE] = storage_url(database)
    try:
        # Dagster's retries need no log; what fails for good is raised.
        logging.getLogger().addHandler(logging.NullHandler())
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            end_dead_runs(instance)
            yield instance
    finally:
        del os.environ[STORAGE_VARIABLE]


def end_dead_runs(instance: dg.DagsterInstance) -> None:
    """Ends runs that a killed process left in progress: they would keep their pool slots."""
    dead = instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
    for run in dead:
        if run.status is not dg.DagsterRunStatus.QUEUED:
            instance.report_run_failed(run, "Its process was gone.")
    storage = instance.event_log_storage
    for run_id in storage.get_concurrency_run_ids():
        storage.free_concurrency_slots_for_run(run_id)


def _job(definitions: dg.Definitions, domains: Sequence[str]) -> JobDefinition:
    releases = dg.AssetSelection.assets(*(release_key(domain) for domain in domains))
    marts = dg.AssetSelection.groups("marts") & releases.upstream()
    models = marts.upstream() - dg.AssetSelection.groups("landing", "by_date")
    return dg.Definitions(
        assets=definitions.assets,
        resources=definitions.resources,
        jobs=[dg.define_asset_job(JOB, selection=models | releases, executor_def=EXECUTOR)],
    ).resolve_job_def(JOB)
