"""Loads a domain's inbox file by file: a broken file is set aside, the others land."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.load import inbox
from orchestration.load.declarations import Dataset, read_datasets
from orchestration.load.errors import DISK_ERRORS, ChangedError, LandingError, LoadError
from orchestration.load.names import shown
from orchestration.load.run import FileReport, load
from pollux.masking import without_values
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.steps import step


@dataclass
class Taken:
    """The result of loading an inbox: files that landed, notes for people, and failures."""

    files: list[FileReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def take_inbox(
    settings: Settings,
    domain: str,
    is_wanted: Callable[[Dataset], bool] = lambda _dataset: True,
    project_dir: Path = PROJECT_DIR,
) -> Taken:
    """Load the files in a domain's inbox, by name; files of datasets not wanted stay.

    A file that fails goes to `failed/` with its reason; one that is still being written stays.

    Raises:
        LandingError: when the landing zone is locked or cannot be written, or another process is
            loading the inbox.
        LoadError: when the inbox cannot be read.

    """
    taken = Taken()
    datasets = [d for d in read_datasets(project_dir).values() if d.domain == domain]
    with inbox.locked(settings):
        try:
            for file in inbox.waiting(settings, domain):
                dataset = inbox.dataset_of(file.path, datasets)
                if dataset is None or is_wanted(dataset):
                    _take(settings, domain, file, dataset, taken, project_dir)
        finally:
            inbox.tidy(settings, domain)
    return taken


def _take(
    settings: Settings,
    domain: str,
    file: inbox.Waiting,
    dataset: Dataset | None,
    taken: Taken,
    project_dir: Path,
) -> None:
    name = shown(file.path.name)
    try:
        path = inbox.take(file)
    except LoadError as error:
        taken.broken.append(str(error))
        return
    if path is None:
        return
    try:
        inbox.check_taken(path)
        report = load(settings, domain=domain, from_=path, project_dir=project_dir)
    except LandingError:
        raise
    except ChangedError:
        taken.notes.append(f"{name} is still being written; it waits for the next run")
        return
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        reason = str(error)
        if not isinstance(error, LoadError):
            what = f"{type(error).__name__}: {without_values(str(error))}"
            reason = f"{name}: {what}. This is a fault of the loader, please report it"
        taken.broken.append(_set_aside(settings, domain, path, dataset, reason))
        return
    step("inbox.landed")
    taken.files += report.files
    taken.notes += report.notes
    try:
        inbox.keep(settings, domain, path)
    except OSError as error:
        taken.broken.append(
            f"{name} has landed, but cannot be moved to {settings.inbox_dir / inbox.LOADED}: "
            f"{error.strerror or error}. The next run moves it"
        )


def _set_aside(
    settings: Settings, domain: str, path: Path, dataset: Dataset | None, reason: str
) -> str:
    try:
        aside = inbox.set_aside(settings, domain, path, dataset, reason)
    except OSError as error:
        why = error.strerror or error
        return f"{reason}\nIt cannot be moved aside ({why}) and stays at {shown(path)}."
    return f"{reason}\nIt was moved to {shown(aside)}."
