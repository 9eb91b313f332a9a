"""The steps of a build in order: land events, learn where due, run dbt, record what passed.

The steps themselves live in `load`, `transform` and `learn`; publishing is `release`.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestration.learn.recommend.land import learn_if_due
from orchestration.load import landing
from orchestration.load.declarations import LEARNED, read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.event_datasets import EVENTS, events_fingerprint, feeding, last_event
from orchestration.load.events import land_events
from orchestration.load.postgres import sync_raw
from orchestration.load.quality import loaded_datasets
from orchestration.object_store import fetch, send_landing
from orchestration.transform.dbt import (
    DbtRun,
    NodeEnded,
    Process,
    dbt_command,
    dbt_environment,
    started_dbt,
    stream_dbt,
)
from orchestration.transform.errors import BuildError, BuildFailedError
from orchestration.transform.failures import describe_failures
from orchestration.transform.graph import (
    data_tests_of,
    failures_of,
    has_all_marts,
    served_tables,
    warnings_of,
)
from orchestration.transform.lake import claim_lake
from orchestration.transform.landed import compile_for_duckdb
from orchestration.transform.live_files import write_live_files
from orchestration.transform.marts import check_marts
from orchestration.transform.record import BuildRecord, rules_of, write_record
from orchestration.transform.study import study_of
from orchestration.transform.warehouse import check_is_free
from pollux.quality import Quality
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.spark import use_spark, watch_spark
from pollux.runtime.spark_connect import SparkServer
from pollux.runtime.steps import step
from pollux.runtime.warehouse import lock_warehouse


@dataclass(frozen=True)
class BuildReport:
    """What a build did: counts of dbt's nodes, and the domains that may be released.

    `notes` are sentences for people about rows left out; `message` says what failed.
    """

    models: int
    tests: int
    seconds: float
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    notes: tuple[str, ...]
    message: str

    def describe(self, settings: Settings) -> str:
        """The build in a few words."""
        return f"{self.models} models, {self.tests} tests on {settings.engine}"

    def raise_if_failed(self) -> None:
        """Raises `BuildFailedError` naming what failed, unless every domain passed."""
        if self.failed:
            raise BuildFailedError(self.message)


def loaded_domains(settings: Settings) -> tuple[str, ...]:
    """The domains for which something has been loaded.

    `learned` and `events` are not among them: their datasets count for the domains they feed.
    """
    datasets = read_datasets(PROJECT_DIR).values()
    landed = [dataset for dataset in datasets if landing.parts(settings, dataset)]
    domains = {domain for dataset in landed for domain in dataset.feeds or (dataset.domain,)}
    return tuple(sorted(domains - {LEARNED, EVENTS}))


def check_loaded(settings: Settings, domains: Sequence[str]) -> None:
    """Raises `BuildError` for a domain for which nothing has been loaded."""
    loaded = loaded_domains(settings)
    for domain in domains:
        if domain not in loaded:
            raise BuildError(
                f"Nothing has been loaded for {domain}. Load files with pollux load --domain "
                f"{domain} --from FOLDER, or make sample data with pollux up."
            )


@dataclass(frozen=True)
class Prepared:
    """What a build needs: the warehouse is held, and dbt reads the project for this study."""

    study: str
    dbt: Process
    database: ServingStore | None
    server: SparkServer | None


@contextmanager
def prepared_build(settings: Settings, domains: Sequence[str]) -> Iterator[Prepared]:
    """Prepares a build, so that dbt reads the project while the caller lands and learns.

    Raises `BuildError` where nothing was loaded for a domain, `WarehouseBusyError` where another
    process keeps the warehouse.
    """
    check_loaded(settings, domains)
    database = open_serving_store(settings) if settings.engine == "postgres" else None
    with lock_warehouse(settings, "a build") as lock:
        if settings.engine == "duckdb":
            check_is_free(settings)
        server = None
        if settings.engine == "spark":
            claim_lake(settings)
            server = use_spark(settings)
        if "household" in domains:
            # What this reads of the project for learning, dbt is spared.
            compile_for_duckdb(settings)
        study = study_of(settings)
        with started_dbt(
            _command(settings, domains),
            settings=settings,
            environment=dbt_environment(settings, database, server),
            lock=lock,
        ) as dbt:
            yield Prepared(study, dbt, database, server)


def build(
    settings: Settings,
    domains: Sequence[str],
    progress: Callable[[str, int, int], None] = lambda _node, _done, _total: None,
    ready: Prepared | None = None,
) -> BuildReport:
    """Builds and tests the marts of `domains` on the installation's engine.

    `ready` is the build where the caller has prepared it. Returns a report even where models or
    tests failed: another domain may have passed. Raises `BuildError` where nothing was loaded, dbt
    cannot run, or a mart could not be released.
    """
    building = stream_build(settings, domains, ready)
    while True:
        try:
            node = next(building)
        except StopIteration as ended:
            report: BuildReport = ended.value
            return report
        progress(node.name, node.done, node.total)


def stream_build(
    settings: Settings, domains: Sequence[str], ready: Prepared | None = None
) -> Generator[NodeEnded, None, BuildReport]:
    """The same as `build`, yielding models, seeds and tests as they end.

    Only the returned report says what passed: a later failure may still fail the domain.
    """
    started = time.monotonic()
    with nullcontext(ready) if ready else prepared_build(settings, domains) as held:
        land_events(settings, feeding(domains))
        if "household" in domains:
            # Before dbt runs, so that recommendations are tested and released with the data behind
            # them.
            learn_if_due(settings)
        datasets = list(read_datasets(PROJECT_DIR).values())
        ensure_empty_parts(settings, datasets)
        records = [_start_record(settings, domain) for domain in domains]
        if held.database is not None:
            with held.database.connect() as connection:
                sync_raw(connection, settings, datasets)
        # A load during the run would give some marts the old files and others the new.
        with landing.locked(settings):
            _check_landing(settings, records, held.study)
            loaded = {domain: loaded_datasets(settings, domain) for domain in domains}
            send_landing(settings)
            run = yield from _run(settings, held)
            fetch(settings, run.invocation_id)
            step("build.built")
            check_marts(run.manifest, PROJECT_DIR)
            failures = {domain: failures_of(run, domain) for domain in domains}
            passed = tuple(d for d in domains if not failures[d] and has_all_marts(run, d))
            write_live_files(settings, run, passed, held.database)
        seconds = time.monotonic() - started
        for record in records:
            names = tuple(failure.unique_id for failure in failures[record.domain])
            write_record(
                settings,
                replace(
                    record,
                    status="passed" if record.domain in passed else "failed",
                    invocation_id=run.invocation_id,
                    failures=names,
                    tables=served_tables(run.manifest, record.domain),
                    models=_count(run, "model"),
                    tests=_count(run, "test"),
                    seconds=seconds,
                    quality=Quality(
                        built_at=datetime.fromisoformat(record.started_at),
                        datasets=loaded[record.domain],
                        tests=data_tests_of(run, record.domain),
                    ),
                ),
            )
        distinct = list(dict.fromkeys(f for found in failures.values() for f in found))
        notes = warnings_of(run)
        message = describe_failures(settings, held.database, distinct, run.manifest, held.server)
    return BuildReport(
        models=_count(run, "model"),
        tests=_count(run, "test"),
        seconds=seconds,
        passed=passed,
        failed=tuple(domain for domain in domains if domain not in passed),
        notes=notes,
        message=message,
    )


def _check_landing(settings: Settings, records: Sequence[BuildRecord], study: str) -> None:
    for record in records:
        if (
            landing.fingerprint(settings, record.domain) != record.landing
            or events_fingerprint(settings, record.domain) != record.events
            or study_of(settings) != study
        ):
            raise BuildError(
                f"Files of {record.domain} were loaded while the build began: build again."
            )


def _command(settings: Settings, domains: Sequence[str]) -> list[str]:
    # Unit tests check the rules, not the data: the project's own test suite runs them.
    return dbt_command(
        "build",
        "--when-told",
        *("--select", *(f"+path:models/marts/{domain}" for domain in domains)),
        *("--exclude-resource-type", "unit_test"),
        target=settings.engine,
    )


def _run(settings: Settings, held: Prepared) -> Generator[NodeEnded, None, DbtRun]:
    server = held.server
    return stream_dbt(
        held.dbt,
        settings=settings,
        lost=(lambda: None) if server is None else watch_spark(settings, server),
    )


def _start_record(settings: Settings, domain: str) -> BuildRecord:
    record = BuildRecord(
        domain=domain,
        engine=settings.engine,
        status="running",
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        landing=landing.fingerprint(settings, domain),
        events=events_fingerprint(settings, domain),
        last_event=last_event(settings, domain),
        code=rules_of(settings, domain),
    )
    write_record(settings, record)
    return record


def _count(run: DbtRun, kind: str) -> int:
    return sum(result.unique_id.startswith(f"{kind}.") for result in run.results)
