"""Releases a domain (write, audit, publish), and rolls back to an earlier release.

Belongs here: the order of the steps. What customers see changes in one transaction, `switch`,
after everything else is in place; a failure before it leaves the old release served.
"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import psycopg

from orchestration.release import live, registry
from orchestration.release.errors import ReleaseError
from orchestration.release.exports import exporting
from orchestration.release.follow import follow_switch
from orchestration.release.marts import Marts, open_marts
from orchestration.release.parquet import ParquetRelease
from orchestration.release.shrinking import find_shrunken, refuse_shrinking
from orchestration.release.tables import write_tables
from orchestration.transform.live_files import give_live_files
from orchestration.transform.record import BuildRecord, read_record
from pollux.masking import told
from pollux.runtime import webhooks
from pollux.runtime.erasures import erase_again
from pollux.runtime.live import grant_released
from pollux.runtime.serving import ServingStore, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.steps import step
from pollux.runtime.warehouse import lock_warehouse

# What webhooks are told.
PUBLISHED, ROLLED_BACK = "release.published", "release.rolled_back"


@dataclass(frozen=True)
class ReleaseReport:
    """A release made or rolled back to; `notes` is for people."""

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
    settings: Settings,
    domain: str,
    progress: Callable[[str], None] = lambda _table: None,
    *,
    accept_shrinking: bool = False,
) -> ReleaseReport:
    """Publishes the marts of a domain's last build, all at once.

    A build that is released already is not released again. Raises `ReleaseError` if the last
    build did not pass or the serving database fails, and `ShrinkingError` if most rows of a mart
    would go and `accept_shrinking` does not allow it; the old release is then still served.
    """
    record = _passed_build(settings, domain)
    database = open_serving_store(settings)
    try:
        with database.connect() as connection:
            registry.prepare_store(connection, database)
            with registry.lock_releases(connection, domain):
                rows = registry.read_releases(connection, domain)
                for row in rows:
                    if row.dbt_invocation == record.invocation_id:
                        return _released_already(settings, database, connection, row)
                return _release(
                    settings,
                    database,
                    connection,
                    record,
                    progress,
                    accept_shrinking=accept_shrinking,
                )
    except (psycopg.Error, duckdb.Error, OSError) as error:
        raise _failed("release", domain, error) from error


def rollback(settings: Settings, domain: str, to: int | None = None) -> ReleaseReport:
    """Serves an earlier release of a domain again: number `to`, else the one before.

    Raises `ReleaseError` if there is none, its tables are no longer kept, or the serving database
    fails.
    """
    database = open_serving_store(settings)
    receivers = webhooks.read_webhooks(settings)
    started = time.monotonic()
    try:
        with database.connect() as connection:
            registry.prepare_store(connection, database)
            with registry.lock_releases(connection, domain):
                target = _rollback_target(registry.read_releases(connection, domain), domain, to)
                registry.note_row_counts(connection, domain, target.number)
                kept = live.read(connection, domain, target.number)
                switching = time.monotonic()
                live.take_over(connection, database, domain, target.number, kept)
                with connection.pipeline():
                    registry.switch(connection, domain, target.number)
                    webhooks.enter_messages(connection, receivers, domain, ROLLED_BACK)
                    step("rollback.registered")
                    connection.commit()
                step("rollback.switched")
                switch_seconds = time.monotonic() - switching
                webhooks.deliver_soon(database, receivers)
                notes = follow_switch(settings, connection, database, domain, target.number)
    except (psycopg.Error, OSError) as error:
        raise _failed("rollback", domain, error) from error
    seconds = time.monotonic() - started
    return ReleaseReport(
        domain, target.number, 0, target.rows, seconds, switch_seconds, is_new=False, notes=notes
    )


def _failed(what: str, domain: str, error: Exception) -> ReleaseError:
    return ReleaseError(
        f"The {what} of {domain} failed: {told(error)}\n"
        "What is served is one release as a whole, as a rule the one before: see pollux status, "
        f"and run pollux {what} again."
    )


def _released_already(
    settings: Settings,
    database: ServingStore,
    connection: psycopg.Connection,
    row: registry.ReleaseRow,
) -> ReleaseReport:
    # The updates after the last switch, to this release or back from it, may be incomplete.
    served = registry.current_number(connection, row.domain)
    webhooks.deliver_soon(database, webhooks.read_webhooks(settings))
    notes: tuple[str, ...] = ()
    if served is not None:
        notes = follow_switch(settings, connection, database, row.domain, served)
    if not row.is_current:
        taken_back = (
            f"The last build of {row.domain} is release {row.number}, which was taken back: "
            f"pollux rollback {row.domain} --to {row.number} serves it again."
        )
        notes = (taken_back, *notes)
    return ReleaseReport(row.domain, row.number, 0, row.rows, 0, 0, is_new=False, notes=notes)


def _release(
    settings: Settings,
    database: ServingStore,
    connection: psycopg.Connection,
    record: BuildRecord,
    progress: Callable[[str], None],
    *,
    accept_shrinking: bool,
) -> ReleaseReport:
    started = time.monotonic()
    domain = record.domain
    numbers = [row.number for row in registry.read_releases(connection, domain)]
    number = max(numbers, default=0) + 1
    with lock_warehouse(settings, "a release"):
        # Again under the lock: a build may have begun since.
        record = _passed_build(settings, domain)
        tables = record.tables
        with open_marts(settings, record.invocation_id, tables) as marts:
            _check_builder(marts, record)
            rows = {table.name: marts.count(table) for table in tables}
            served = registry.current_number(connection, domain)
            if served is not None and not accept_shrinking:
                before = registry.read_row_counts(connection, domain, served)
                refuse_shrinking(settings, domain, served, find_shrunken(before, rows))
            parquet = ParquetRelease(settings.releases_dir / domain, number)
            registry.drop_unfinished_release(connection, domain, number)
            folder = parquet.start()
            is_live = give_live_files(settings, domain, record.invocation_id, folder)
            with exporting(marts, tables, folder) as exports:
                step("release.parquet_begun")
                write_tables(
                    connection,
                    registry.schema_of(domain, number),
                    tables,
                    exports,
                    rows,
                    database.reader_role,
                    progress,
                )
                grant_released(connection, database.events_role)
            step("release.tables_written")
            # Checked once more: a bare dbt run takes no lock.
            _check_builder(marts, record)
    parquet.finish()
    step("release.parquet_named")
    connection.commit()
    step("release.tables_committed")
    commit = _git_commit()
    receivers = webhooks.read_webhooks(settings)
    for name, erased in erase_again(connection, registry.schema_of(domain, number)).items():
        rows[name] -= erased
    registry.enter(
        connection,
        {
            "domain": domain,
            "number": number,
            "engine": record.engine,
            "dbt_invocation": record.invocation_id,
            "git_commit": commit,
            "rows": sum(rows.values()),
            "seconds": time.monotonic() - started,
        },
        tables,
        rows,
        record.quality,
    )
    # Without its files the updater could compute nothing.
    answered = [table.name for table in tables if table.live_key and is_live]
    followed = live.LiveRelease(record.last_event, answered)
    # From here on others may wait for it.
    switching = time.monotonic()
    live.take_over(connection, database, domain, number, followed)
    # In one round trip, so that the lock on the domain's row is held as briefly as possible.
    with connection.pipeline():
        live.enter(connection, domain, number, followed)
        registry.switch(connection, domain, number)
        webhooks.enter_messages(connection, receivers, domain, PUBLISHED)
        step("release.registered")
        connection.commit()
    step("release.switched")
    switch_seconds = time.monotonic() - switching
    webhooks.deliver_soon(database, receivers)
    notes = follow_switch(settings, connection, database, domain, number)
    return ReleaseReport(
        domain=domain,
        number=number,
        tables=len(tables),
        rows=sum(rows.values()),
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
        builder = marts.built_by(table)
        if builder is None:
            raise ReleaseError(
                f"{table.name} is no longer there, or not whole: run pollux build --domain "
                f"{record.domain}."
            )
        if builder != record.invocation_id:
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


def _git_commit() -> str | None:
    command = ["git", "-C", str(PROJECT_DIR), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
