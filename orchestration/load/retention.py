"""Forgets what is older than the settings say: texts of rejects, files that failed, old days.

Belongs here: what goes of files and of the landing zone, and the record of the last time. Does not
belong here: runs of Dagster (`orchestration.defs.retention`), decisions (`old_decisions`), and
other rows of the event service, which it deletes itself.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.load import inbox, journal, landing
from orchestration.load.declarations import TABLE, read_datasets
from orchestration.load.landing import Part
from orchestration.load.old_decisions import old_parts
from orchestration.load.rejects import blank_texts
from pollux.runtime.processes import write_record
from pollux.runtime.settings import PROJECT_DIR, Settings

RECORD = "retention.json"


@dataclass(frozen=True)
class Forgotten:
    """How much went, by kind; `parts` are those of the landing zone."""

    runs: int = 0
    texts: int = 0
    failed_files: int = 0
    loaded_files: int = 0
    parts: int = 0
    decisions: int = 0

    def describe(self) -> str:
        """The same in words."""
        return (
            f"{self.runs} runs of Dagster, the text of {self.texts} rejected rows, "
            f"{self.failed_files} files that had failed to load, {self.loaded_files} that had been "
            f"loaded, {self.parts} parts of the landing zone, {self.decisions} decisions"
        )


@dataclass(frozen=True)
class LastTime:
    """When retention was last at work (ISO 8601), what went, and what kept it from its work."""

    at: str
    forgotten: Forgotten
    problem: str = ""


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


def note(settings: Settings, last: LastTime) -> None:
    """Keeps what was done last for `read_note`."""
    write_record(settings.data_dir / RECORD, asdict(last))


def read_note(settings: Settings) -> LastTime | None:
    """What was done last, None if nothing ever was."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((settings.data_dir / RECORD).read_text())
        return LastTime(found["at"], Forgotten(**found["forgotten"]), found["problem"])
    return None


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
