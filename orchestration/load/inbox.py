"""The inbox: `<domain>/<file>` waits to be loaded, then moves to `loaded/` or `failed/`.

A file is renamed to `<domain>/.taken/` before it is read, so that a newer version of the same name
cannot replace it meanwhile.

Belongs here: which files wait, and where each goes. Does not belong here: loading (`take`).
"""

import contextlib
import csv
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from orchestration.load.choose import is_backup, is_unfinished, kind_of, readable
from orchestration.load.declarations import Dataset
from orchestration.load.disk import move, sync
from orchestration.load.errors import LandingError, LoadError
from orchestration.load.landing import writable
from orchestration.load.names import safe_name, shown
from orchestration.load.rejects import REJECT_COLUMNS
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step

LOADED = "loaded"
FAILED = "failed"
SET_ASIDE = re.compile(r"\d{8}T\d{6}-")
TAKEN = ".taken"
UNKNOWN_DATASET = "unknown"
DATE = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")

_REASON = ".reason.txt"
_STAMP = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Waiting:
    """A file in the inbox; size and time of change show whether it is still being written."""

    path: Path
    size: int
    modified_ns: int

    @property
    def version(self) -> str:
        """Changes when the file does, and when a run took it but did not finish."""
        place = f"{TAKEN}/" if self.is_taken else ""
        return f"{place}{self.path.name}:{self.size}:{self.modified_ns}"

    @property
    def is_taken(self) -> bool:
        """Whether an earlier run took it but did not finish."""
        return self.path.parent.name == TAKEN


def waiting(settings: Settings, domain: str) -> list[Waiting]:
    """The files that wait to be loaded into a domain, by name; first those taken before.

    Includes links, pipes, and folders named like files, which are then set aside.

    Raises:
        LoadError: when the folder cannot be read.

    """
    folder = settings.inbox_dir / domain
    found = []
    for place in (folder / TAKEN, folder):
        if not place.exists():
            continue
        with readable(place):
            paths = sorted(place.iterdir())
        for path in paths:
            try:
                state = path.lstat()
            except FileNotFoundError:
                continue
            is_plain_folder = stat.S_ISDIR(state.st_mode) and not path.suffix
            if path.name[0] != "." and not is_unfinished(path.name) and not is_plain_folder:
                found.append(Waiting(path, state.st_size, state.st_mtime_ns))
    return found


def take(file: Waiting) -> Path | None:
    """Rename a waiting file to where nothing overwrites it; return its path there.

    None if it has gone, or an older version of the same name is still taken.

    Raises:
        LoadError: when the file cannot be moved.

    """
    if file.is_taken:
        return file.path
    taken = file.path.parent / TAKEN / file.path.name
    if os.path.lexists(taken):
        return None
    try:
        taken.parent.mkdir(exist_ok=True)
        file.path.rename(taken)
        sync(taken.parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LoadError(
            f"{shown(file.path)} cannot be taken from the inbox: {error.strerror or error}. It "
            "stays there; let Pollux move files in that folder"
        ) from error
    step("inbox.taken")
    return taken


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Keep other processes from taking files of the inbox.

    Raises:
        LandingError: when another does and is not done within `lock_timeout_seconds`.

    """
    lock = FileLock(settings.inbox_dir / ".lock", timeout=settings.lock_timeout_seconds)
    with writable(settings.inbox_dir):
        settings.inbox_dir.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise LandingError(
                f"another process takes what waits in {settings.inbox_dir}; waited "
                f"{settings.lock_timeout_seconds:g} s, try again when it is done"
            ) from None
    try:
        yield
    finally:
        lock.release()


def tidy(settings: Settings, domain: str) -> None:
    """Remove the folder of taken files, if it is empty."""
    with contextlib.suppress(OSError):
        (settings.inbox_dir / domain / TAKEN).rmdir()


def check_taken(path: Path) -> None:
    """Raise `LoadError` if a taken path is not a file, or a file not to be loaded."""
    name = shown(path.name)
    if path.is_symlink():
        raise LoadError(
            f"{name} is a link to {shown(path.readlink())}; copy the file itself into the inbox"
        )
    kind = kind_of(path)
    if kind != "a file":
        raise LoadError(f"{name} is {kind}, not a file; the inbox takes files")
    if is_backup(path.name):
        raise LoadError(f"{name} is an editor's backup, by its name; rename it to load it")


def unknown_folders(settings: Settings, domains: Iterable[str]) -> list[Path]:
    """Folders in the inbox that hold files but belong to no domain."""
    known = {*domains, LOADED, FAILED}
    return [
        folder
        for folder in sorted(settings.inbox_dir.glob("*"))
        if folder.is_dir() and folder.name not in known and waiting(settings, folder.name)
    ]


def dataset_of(path: Path, datasets: Sequence[Dataset]) -> Dataset | None:
    """The dataset whose patterns match a file's name, None if none or several do."""
    found = [dataset for dataset in datasets if dataset.matches(path.name)]
    return found[0] if len(found) == 1 else None


def keep(settings: Settings, domain: str, path: Path) -> None:
    """Moves a loaded file out of the inbox, to `loaded/`, from where it can be loaded again.

    Raises:
        OSError: when it cannot be moved.

    """
    folder = settings.inbox_dir / LOADED / domain
    folder.mkdir(parents=True, exist_ok=True)
    move(path, folder / path.name)
    step("inbox.kept")


def set_aside(
    settings: Settings, domain: str, path: Path, dataset: Dataset | None, reason: str
) -> Path:
    """Moves a broken file to `failed/`; writes the reason beside it and among the rejects.

    Raises:
        OSError: when it cannot be moved.

    """
    folder = settings.inbox_dir / FAILED / domain
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC)
    name = safe_name(path.name, more=len(f"{moment:{_STAMP}}-{_REASON}"))
    while os.path.lexists(folder / f"{moment:{_STAMP}}-{name}"):
        moment += timedelta(seconds=1)
    target = folder / f"{moment:{_STAMP}}-{name}"
    # The reason first, so that no file is there without one.
    target.with_name(f"{target.name}{_REASON}").write_text(reason + "\n", encoding="utf-8")
    rejects = settings.rejects_dir / domain / (dataset.name if dataset else UNKNOWN_DATASET)
    rejects.mkdir(parents=True, exist_ok=True)
    with (rejects / f"{target.name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(REJECT_COLUMNS)
        # No line of it landed, so the whole file is one reject.
        writer.writerow((shown(path.name), 0, "", reason, ""))
    step("inbox.told")
    move(path, target)
    step("inbox.set_aside")
    return target


def failed_before(settings: Settings, moment: datetime) -> list[Path]:
    """Files that were set aside before a moment, and their reasons.

    Their names say when: a file's own time is that of its content.
    """
    before = f"{moment.astimezone(UTC):{_STAMP}}-"
    found = (settings.inbox_dir / FAILED).glob("*/*")
    return sorted(path for path in found if SET_ASIDE.match(path.name) and path.name < before)


def file_date(name: str) -> date | None:
    """The date in a file's name, as 2024-03-23 or 20240323; the last if there are several."""
    for year, month, day in reversed(DATE.findall(name)):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def loaded_on(settings: Settings, dataset: Dataset, days: Iterable[str]) -> list[Path]:
    """The loaded files of a dataset whose names hold one of these dates (ISO), by name."""
    wanted = set(days)
    return [
        path
        for path in sorted((settings.inbox_dir / LOADED / dataset.domain).glob("*"))
        if path.is_file()
        and dataset.matches(path.name)
        and (day := file_date(path.name)) is not None
        and day.isoformat() in wanted
    ]
