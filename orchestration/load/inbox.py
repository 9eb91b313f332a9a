"""The inbox: `<domain>/<file>` to be loaded, `loaded/` and `failed/` for what was taken.

Belongs here: which files wait, and where each goes. Does not belong here: loading, and when.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from orchestration.load.declarations import Dataset
from orchestration.load.screen_csv import REJECT_COLUMNS
from pollux.runtime.settings import Settings

LOADED = "loaded"
FAILED = "failed"
UNKNOWN_DATASET = "unknown"
# What a copying program has not finished yet.
UNFINISHED = (".part", ".tmp", ".partial", ".crdownload")
DATE = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")


@dataclass(frozen=True)
class Waiting:
    """A file in the inbox: what it is, and what tells whether it is still being written."""

    path: Path
    size: int
    modified_ns: int

    @property
    def version(self) -> str:
        """Changes when the file does."""
        return f"{self.path.name}:{self.size}:{self.modified_ns}"


def waiting(settings: Settings, domain: str) -> list[Waiting]:
    """The files that wait to be loaded into a domain, by name."""
    found = []
    for path in sorted((settings.inbox_dir / domain).glob("*")):
        if path.is_file() and path.name[0] != "." and path.suffix.lower() not in UNFINISHED:
            state = path.stat()
            found.append(Waiting(path, state.st_size, state.st_mtime_ns))
    return found


def unknown_folders(settings: Settings, domains: Iterable[str]) -> list[Path]:
    """Folders of the inbox that are no domain's, with files in them."""
    known = {*domains, LOADED, FAILED}
    return [
        folder
        for folder in sorted(settings.inbox_dir.glob("*"))
        if folder.is_dir() and folder.name not in known and waiting(settings, folder.name)
    ]


def dataset_of(path: Path, datasets: Sequence[Dataset]) -> Dataset | None:
    """The dataset whose patterns a file's name matches, None where none or several do."""
    found = [dataset for dataset in datasets if dataset.matches(path.name)]
    return found[0] if len(found) == 1 else None


def keep(settings: Settings, domain: str, path: Path) -> None:
    """Moves a loaded file out of the inbox, where it can be loaded from again."""
    folder = settings.inbox_dir / LOADED / domain
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / path.name)


def set_aside(
    settings: Settings, domain: str, path: Path, dataset: Dataset | None, reason: str
) -> Path:
    """Moves a broken file out of the inbox, its reason beside it and among the rejects."""
    folder = settings.inbox_dir / FAILED / domain
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{path.name}"
    target = folder / name
    path.replace(target)
    target.with_name(f"{name}.reason.txt").write_text(reason + "\n", encoding="utf-8")
    rejects = settings.rejects_dir / domain / (dataset.name if dataset else UNKNOWN_DATASET)
    rejects.mkdir(parents=True, exist_ok=True)
    with (rejects / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(REJECT_COLUMNS)
        # No line of it landed, so it is one reject, as a whole.
        writer.writerow((path.name, 0, "", reason, ""))
    return target


def file_date(name: str) -> date | None:
    """The date in a file's name, as 2024-03-23 or 20240323; the last where there are several."""
    for year, month, day in reversed(DATE.findall(name)):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def loaded_on(settings: Settings, dataset: Dataset, days: Iterable[str]) -> list[Path]:
    """The kept files of a dataset whose names hold one of these dates (ISO), by name."""
    wanted = set(days)
    return [
        path
        for path in sorted((settings.inbox_dir / LOADED / dataset.domain).glob("*"))
        if path.is_file()
        and dataset.matches(path.name)
        and (day := file_date(path.name)) is not None
        and day.isoformat() in wanted
    ]
