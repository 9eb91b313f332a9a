"""What is updated after a switch: the views for people, the Parquet link, old releases and builds.

Belongs here: making them agree with `release.current`, and reporting where they differ. Does not
belong here: the switch (`publish`). Nothing here fails a release, and all of it can be repeated:
`pollux release`, `rollback` and `doctor` do so.
"""

from contextlib import suppress

import psycopg

from orchestration.object_store import ObjectStoreError
from orchestration.release import registry
from orchestration.release.errors import ReleaseError
from orchestration.release.parquet import ParquetRelease, drop_old_folders, linked_release
from orchestration.release.views import remake_views, shown_releases
from orchestration.transform.lake import drop_builds
from orchestration.transform.record import read_records
from pollux.masking import told
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step
from pollux.runtime.warehouse import WarehouseBusyError, lock_warehouse


def follow_switch(
    settings: Settings,
    connection: psycopg.Connection,
    database: ServingStore,
    domain: str,
    number: int,
) -> tuple[str, ...]:
    """Updates views, link and old releases to release `number`; returns what could not be done."""
    domain_dir = settings.releases_dir / domain

    def point_views() -> None:
        remake_views(connection, domain, number, database.reader_role)
        step("release.views_made")

    def point_link() -> None:
        ParquetRelease(domain_dir, number).make_current()
        step("release.linked")

    def drop_old() -> None:
        kept = registry.drop_old_releases(connection, domain)
        step("release.old_tables_dropped")
        if domain_dir.is_dir():
            drop_old_folders(domain_dir, kept)

    def drop_old_builds() -> None:
        kept = {row.dbt_invocation for row in registry.read_releases(connection) if row.is_kept}
        kept |= {record.invocation_id for record in read_records(settings)}
        at_once = settings.model_copy(update={"lock_timeout_seconds": 0})
        # A build that runs now is left alone; the next release removes what this one does not.
        with suppress(WarehouseBusyError), lock_warehouse(at_once, "removing old builds"):
            drop_builds(settings, kept)

    notes = []
    for what, follow in (
        ("the views for people", point_views),
        ("the Parquet link", point_link),
        ("old releases", drop_old),
        ("old builds", drop_old_builds),
    ):
        try:
            follow()
        except (psycopg.Error, OSError, ObjectStoreError) as error:
            notes.append(f"Released, but {what} of {domain} are as before: {told(error)}")
            if not connection.closed:
                connection.rollback()
    return tuple(notes)


def find_differences(
    settings: Settings, connection: psycopg.Connection, domain: str, number: int
) -> tuple[str, ...]:
    """Which of views and link show another release than `number`, the one served."""
    differences = []
    shown = shown_releases(connection, domain)
    if shown != {number}:
        found = ", ".join(map(str, sorted(shown))) or "none"
        differences.append(f"the views of {domain} show release {found}, {number} is served")
    linked = linked_release(settings.releases_dir / domain)
    if linked not in (f"r{number}", None):
        differences.append(f"releases/{domain}/current links to {linked}, {number} is served")
    return tuple(differences)


def mend_differences(settings: Settings, database: ServingStore) -> dict[str, tuple[str, ...]]:
    """Points views and link of every domain to the release served.

    Returns what differed before ("mended"), and what still does ("left"). A domain that is being
    released or rolled back at this moment is skipped.
    """
    found: dict[str, tuple[str, ...]] = {"mended": (), "left": ()}
    with database.connect() as connection:
        current = [row for row in registry.read_releases(connection) if row.is_current]
        for row in current:
            differences = find_differences(settings, connection, row.domain, row.number)
            if not differences:
                continue
            # A release or rollback that is under way updates them itself.
            with suppress(ReleaseError), registry.lock_releases(connection, row.domain):
                served = registry.current_number(connection, row.domain)
                if served is not None:
                    follow_switch(settings, connection, database, row.domain, served)
                    left = find_differences(settings, connection, row.domain, served)
                    found["left"] += left
                    found["mended"] += tuple(set(differences) - set(left))
    return found
