"""What an installation holds: loaded, built, released. Read-only.

It combines the records of `load.landing`, `transform.record` and `release.registry`; which
processes run is for `pollux doctor` to say.
"""

from dataclasses import dataclass

from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.load.event_datasets import events_fingerprint
from orchestration.load.retention_note import LastTime, read_note
from orchestration.release.registry import ReleaseRow, read_releases
from orchestration.transform.record import read_record, rules_of
from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings


@dataclass(frozen=True)
class DatasetStatus:
    """What has landed of a dataset."""

    domain: str
    dataset: str
    rows: int
    rejected: int
    files: int
    is_sample: bool
    at: str


@dataclass(frozen=True)
class BuildStatus:
    """The last build of a domain; up to date if neither data nor rules have changed since."""

    domain: str
    engine: str
    status: str
    started_at: str
    models: int
    tests: int
    seconds: float
    is_up_to_date: bool


@dataclass(frozen=True)
class Status:
    """The status of an installation."""

    datasets: tuple[DatasetStatus, ...]
    builds: tuple[BuildStatus, ...]
    releases: tuple[ReleaseRow, ...]
    retention: LastTime | None


def read_status(settings: Settings) -> Status:
    """Reads the status of an installation; starts its embedded database if one exists."""
    datasets = read_datasets(PROJECT_DIR).values()
    domains = sorted({dataset.domain for dataset in datasets})
    releases: tuple[ReleaseRow, ...] = ()
    if find_serving_store(settings).is_made():
        with open_serving_store(settings).connect() as connection:
            releases = tuple(read_releases(connection))
    found = {dataset: landing.parts(settings, dataset) for dataset in datasets}
    return Status(
        datasets=tuple(
            DatasetStatus(
                domain=dataset.domain,
                dataset=dataset.name,
                rows=sum(part.rows_landed for part in parts),
                rejected=sum(part.rows_rejected for part in parts),
                files=len(parts),
                is_sample=any(part.sample for part in parts),
                at=max(part.loaded_at for part in parts),
            )
            for dataset, parts in found.items()
            if parts
        ),
        builds=tuple(
            status for domain in domains if (status := build_status(settings, domain)) is not None
        ),
        releases=releases,
        retention=read_note(settings),
    )


def build_status(settings: Settings, domain: str) -> BuildStatus | None:
    """The last build of a domain, None if there was none."""
    record = read_record(settings, domain)
    if record is None:
        return None
    return BuildStatus(
        domain=domain,
        engine=record.engine,
        status=record.status,
        started_at=record.started_at,
        models=record.models,
        tests=record.tests,
        seconds=record.seconds,
        is_up_to_date=record.status == "passed"
        and record.engine == settings.engine
        and record.landing == landing.fingerprint(settings, domain)
        and record.events == events_fingerprint(settings, domain)
        and record.code == rules_of(settings, domain),
    )
