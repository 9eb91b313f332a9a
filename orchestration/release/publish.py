"""Releases a domain: write, audit, publish; and goes back to an earlier release.

Belongs here: the order of the steps. What customers see changes in one transaction, `switch`,
after everything else is in place; whatever fails before it leaves the old release served.
"""

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg

from orchestration.release import registry
from orchestration.release.errors import ReleaseError
from orchestration.release.marts import open_marts
from orchestration.release.tables import Marts, write_tables
from orchestration.release.views import remake_views
from orchestration.transform.record import BuildRecord, read_record
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.warehouse import lock_warehouse

CURRENT_LINK = "current"


@dataclass(frozen=True)
class ReleaseReport:
    """A release made or gone back to; `notes` are what a person should know of it."""

    domain: str
    number: int
    tables: int
    rows: int
    seconds: float
    switch_seconds: float
    is_new: bool
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """The release in a few words."""
        if self.is_new:
            return f"{self.domain} {self.number}: {self.tables} tables, {self.rows:,} rows"
        return f"{self.domain} {self.number} was made from this build already"


def release(
    settings: Settings, domain: str, progress: Callable[[str], None] = lambda _table: None
) -> ReleaseReport:
    """Publishes the marts of a domain's last build, all at once.

    A build that is released already is not released again. Raises `ReleaseError` where the last
    build did not pass or the serving store fails; the old release is then still served.
    """
    record = _passed_build(settings, domain)
    store = open_serving_store(settings)
    try:
        with store.connect() as connection:
            registry.prepare_store(connection, store)
            with registry.lock_releases(connection, domain):
                rows = registry.read_releases(connection, domain)
                for row in rows:
                    if row.dbt_invocation == record.invocation_id:
                        return _released_already(settings, store, connection, row)
                return _release(settings, store, connection, record, progress)
    except (psycopg.Error, duckdb.Error, OSError) as error:
        raise ReleaseError(
            f"The release of {domain} failed: {str(error).strip()}\n"
            "What is served is one release as a whole, as a rule the one before: see pollux "
            "status, and run pollux release again."
        ) from error


def rollback(settings: Settings, domain: str, to: int | None = None) -> ReleaseReport:
    """Serves an earlier release of a domain again: number `to`, else the one before.

    Raises `ReleaseError` where there is none, or its tables are no longer kept.
    """
    store = open_serving_store(settings)
    started = time.monotonic()
    with store.connect() as connection:
        registry.prepare_store(connection, store)
        with registry.lock_releases(connection, domain):
            target = _rollback_target(registry.read_releases(connection, domain), domain, to)
            switching = time.monotonic()
            with connection.pipeline():
                registry.switch(connection, domain, target.number)
                connection.commit()
            switch_seconds = time.monotonic() - switching
            notes = _follow_switch(settings, connection, store, domain, target.number)
    seconds = time.monotonic() - started
    return ReleaseReport(
        domain, target.number, 0, target.rows, seconds, switch_seconds, is_new=False, notes=notes
    )


def _released_already(
    settings: Settings,
    store: ServingStore,
    connection: psycopg.Connection,
    row: registry.ReleaseRow,
) -> ReleaseReport:
    notes: tuple[str, ...]
    if row.is_current:
        # What follows a switch may have been cut short.
        notes = _follow_switch(settings, connection, store, row.domain, row.number)
    else:
        taken_back = (
            f"The last build of {row.domain} is release {row.number}, which was taken back: "
            f"pollux rollback {row.domain} --to {row.number} serves it again."
        )
        notes = (taken_back,)
    return ReleaseReport(row.domain, row.number, 0, row.rows, 0, 0, is_new=False, notes=notes)


def _release(
    settings: Settings,
    store: ServingStore,
    connection: psycopg.Connection,
    record: BuildRecord,
    progress: Callable[[str], None],
) -> ReleaseReport:
    started = time.monotonic()
    domain = record.domain
    numbers = [row.number for row in registry.read_releases(connection, domain)]
    number = max(numbers, default=0) + 1
    with lock_warehouse(settings, "a release"):
        # Again under the lock: a build may have begun since.
        record = _passed_build(settings, domain)
        tables = record.tables
        with open_marts(settings, connection) as marts:
            _check_builder(marts, record)
            parquet = _ParquetRelease(settings.releases_dir / domain, number)
            folder = parquet.start()
            for table in tables:
                marts.write_parquet(table, str(folder / f"{table.name}.parquet"))
            registry.drop_unfinished_release(connection, domain, number)
            rows = write_tables(
                connection,
                registry.schema_of(domain, number),
                tables,
                marts,
                store.reader_role,
                progress,
            )
            # Once more: a bare dbt takes no lock.
            _check_builder(marts, record)
    parquet.finish()
    connection.commit()
    commit = _git_commit()
    switching = time.monotonic()
    # In one round trip: nobody waits for the row of the domain while we are not scheduled.
    with connection.pipeline():
        registry.enter(
            connection,
            {
                "domain": domain,
                "number": number,
                "engine": record.engine,
                "dbt_invocation": record.invocation_id,
                "git_commit": commit,
                "rows": rows,
                "seconds": switching - started,
            },
            tables,
        )
        registry.switch(connection, domain, number)
        connection.commit()
    switch_seconds = time.monotonic() - switching
    notes = _follow_switch(settings, connection, store, domain, number)
    return ReleaseReport(
        domain=domain,
        number=number,
        tables=len(tables),
        rows=rows,
        seconds=time.monotonic() - started,
        switch_seconds=switch_seconds,
        is_new=True,
        notes=notes,
    )


def _passed_build(settings: Settings, domain: str) -> BuildRecord:
    record = read_record(settings, domain)
    if record is None:
        raise ReleaseError(f"{domain} has not been built: run pollux build --domain {domain}.")
    if record.engine != settings.engine:
        raise ReleaseError(
            f"{domain} was last built by engine {record.engine}, this is {settings.engine}: run "
            f"pollux build --domain {domain}."
        )
    if record.status == "running":
        raise ReleaseError(
            f"The last build of {domain} (started {record.started_at}) did not end, or still "
            f"runs: run pollux build --domain {domain}."
        )
    if record.status == "failed":
        failures = ", ".join(name.split(".")[2] for name in record.failures)
        raise ReleaseError(
            f"The last build of {domain} failed ({failures}), so there is nothing to release."
        )
    return record


def _check_builder(marts: Marts, record: BuildRecord) -> None:
    for table in record.tables:
        if marts.built_by(table) != record.invocation_id:
            raise ReleaseError(
                f"{table.name} was built by another dbt run since the build of {record.domain} "
                f"that passed: run pollux build --domain {record.domain}."
            )


def _rollback_target(
    rows: list[registry.ReleaseRow], domain: str, to: int | None
) -> registry.ReleaseRow:
    current = next((row for row in rows if row.is_current), None)
    if current is None:
        raise ReleaseError(f"Nothing of {domain} has been released.")
    kept = [row for row in rows if row.is_kept and not row.is_current]
    wanted = [row for row in kept if (row.number == to if to else row.number < current.number)]
    if not wanted:
        numbers = ", ".join(str(row.number) for row in kept) or "none"
        which = f"Release {to}" if to else "An earlier release"
        raise ReleaseError(
            f"{which} of {domain} is not there to go back to; {current.number} is served, and "
            f"kept besides: {numbers}."
        )
    return wanted[0]


def _follow_switch(
    settings: Settings,
    connection: psycopg.Connection,
    store: ServingStore,
    domain: str,
    number: int,
) -> tuple[str, ...]:
    """Brings along what follows the served release; nothing here fails a release."""

    def point_views() -> None:
        remake_views(connection, domain, number, store.reader_role)

    def tidy() -> None:
        kept = registry.drop_old_releases(connection, domain)
        _ParquetRelease(settings.releases_dir / domain, number).point_current(kept)

    notes = []
    for what, follow in (("the views for people", point_views), ("old releases", tidy)):
        try:
            follow()
        except (psycopg.Error, OSError) as error:
            notes.append(f"Released, but {what} of {domain} are as before: {str(error).strip()}")
            if not connection.closed:
                connection.rollback()
    return tuple(notes)


class _ParquetRelease:
    """A release as Parquet files in `<domain>/r<number>`; `current` links to the served one."""

    def __init__(self, domain_dir: Path, number: int) -> None:
        self._domain_dir = domain_dir
        self._name = f"r{number}"
        self._unfinished = domain_dir / f".{self._name}"

    def start(self) -> Path:
        """Makes a fresh folder, outside of what readers look at."""
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(parents=True)
        return self._unfinished

    def finish(self) -> None:
        """Gives the folder its name; a release of the same number was never registered."""
        finished = self._domain_dir / self._name
        shutil.rmtree(finished, ignore_errors=True)
        self._unfinished.rename(finished)

    def point_current(self, kept: list[int]) -> None:
        """Links `current` to this release and removes those that are no longer kept."""
        if (self._domain_dir / self._name).is_dir():
            link = self._domain_dir / f".{CURRENT_LINK}"
            link.unlink(missing_ok=True)
            link.symlink_to(self._name)
            link.replace(self._domain_dir / CURRENT_LINK)
        names = {f"r{number}" for number in kept} | {CURRENT_LINK}
        for folder in self._domain_dir.iterdir():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)


def _git_commit() -> str | None:
    command = ["git", "-C", str(PROJECT_DIR), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
