"""Forgets what is older than the settings say: texts of rejects, files that failed, old days.

Belongs here: what goes of files and of the landing zone. Does not belong here: runs of Dagster
(`orchestration.defs.retention`), decisions (`old_decisions`), and other rows of the event service,
which it deletes itself.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.load import inbox, journal, landing
from orchestration.load.declarations import TABLE, read_datasets
from orchestration.load.landing import Part
from orchestration.load.old_decisions import old_parts
from orchestration.load.rejects import blank_texts
from orchestration.load.retention_note import Forgotten
from pollux.runtime.settings import PROJECT_DIR, Settings


@dataclass(frozen=True)
class _Old:
    rejects: list[Path]
    failed: list[Path]
    loaded: list[Path]
    parts: list[Part]

    def __bool__(self) -> bool:
        return bool(self.rejects or self.failed or self.loaded or self.parts)


def forget_old(settings: Settings, now: datetime) -> Forgotten:
    """Forgets what is too old at a moment.

    Of a reject, file, line, column and reason stay, so that rows still add up. Waits for the lock
    of the landing zone, if there is something to do; raises `LandingError` where it stays taken.
    """
    if not _find(settings, now):
        return Forgotten()
    with landing.locked(settings):
        # A load may have changed what there is.
        old = _find(settings, now)
        texts = sum(map(blank_texts, old.rejects))
        for path in [*old.failed, *old.loaded]:
            path.unlink(missing_ok=True)
        if old.parts:
            _remove_parts(settings, old.parts)
    return Forgotten(
        texts=texts,
        failed_files=len(old.failed),
        loaded_files=len(old.loaded),
        parts=len(old.parts),
    )


def _find(settings: Settings, now: datetime) -> _Old:
    before = now - timedelta(days=settings.rejects_retention_days)
    return _Old(
        # One without texts is written anew, too: so it is not looked at again for as long.
        rejects=[path for path in settings.rejects_dir.rglob("*.csv") if _modified(path) < before],
        failed=inbox.failed_before(settings, before),
        loaded=[
            path
            for path in (settings.inbox_dir / inbox.LOADED).glob("*/*")
            if _is_of_old_day(settings, path.name, now)
        ],
        parts=[*_parts_of_old_days(settings, now), *old_parts(settings, now)],
    )


def _parts_of_old_days(settings: Settings, now: datetime) -> list[Part]:
    return [
        part
        for dataset in read_datasets(PROJECT_DIR).values()
        if dataset.format != TABLE and settings.landing_retention_days is not None
        for part in landing.parts(settings, dataset)
        if _is_of_old_day(settings, part.name, now)
    ]


def _is_of_old_day(settings: Settings, name: str, now: datetime) -> bool:
    days, day = settings.landing_retention_days, inbox.file_date(name)
    return days is not None and day is not None and day < (now - timedelta(days=days)).date()


def _remove_parts(settings: Settings, parts: list[Part]) -> None:
    removals = [
        path
        for part in parts
        for path in (
            part.path,
            landing.rejects_path(settings, part.domain, part.dataset, part.name),
        )
        if path.exists()
    ]
    entries = [
        {"domain": part.domain, "dataset": part.dataset, "part": part.name, "outcome": "forgotten"}
        for part in parts
    ]
    with landing.writable(settings.landing_dir):
        journal.commit(settings, moves={}, removals=removals, log=entries)


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
