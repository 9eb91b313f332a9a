"""Forgets what was not loaded once it is old: the text of rejected rows, and files that failed.

Of a reject, file, line, column and reason stay, so that rows still add up. Parts in the landing
zone stay: a build makes everything anew from them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.load import landing
from orchestration.load.inbox import failed_before
from orchestration.load.rejects import blank_texts
from pollux.runtime.settings import Settings


@dataclass(frozen=True)
class Forgotten:
    """Numbers of rejected rows whose text was removed, and of files that were."""

    rows: int
    files: int


def forget_rejects(settings: Settings, now: datetime) -> Forgotten:
    """Forgets what is older than `POLLUX_REJECTS_RETENTION_DAYS`, counted from the load.

    A file without texts is written anew, too: so it is not looked at again for as long.
    Waits for the lock of the landing zone; raises `LandingError` where it stays taken.
    """
    before = now - timedelta(days=settings.rejects_retention_days)
    rejects = [path for path in settings.rejects_dir.rglob("*.csv") if _is_older(path, before)]
    failed = failed_before(settings, before)
    if not rejects and not failed:
        return Forgotten(0, 0)
    with landing.locked(settings):
        rows = sum(map(blank_texts, rejects))
        for path in failed:
            path.unlink(missing_ok=True)
    return Forgotten(rows, len(failed))


def _is_older(path: Path, before: datetime) -> bool:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC) < before
