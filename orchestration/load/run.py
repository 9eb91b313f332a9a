"""`load`: files of a domain to the landing zone, all or nothing.

Belongs here: which file is which dataset, the order of the steps, the report. Does not belong
here: how a file is read or a part is kept.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.load import landing
from orchestration.load.convert import Job, convert
from orchestration.load.declarations import TABLE, Dataset, read_datasets
from orchestration.load.errors import LoadError
from orchestration.load.examine import sha256
from orchestration.load.landing import Part
from pollux.runtime.settings import PROJECT_DIR, Settings


@dataclass(frozen=True)
class FileReport:
    """What became of one file. `outcome` is landed, unchanged or replaced; `bytes` its size."""

    file: str
    dataset: str
    part: str
    outcome: str
    rows_read: int
    rows_landed: int
    rows_rejected: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class LoadReport:
    """What a load did; `notes` are sentences for people."""

    domain: str
    files: tuple[FileReport, ...]
    notes: tuple[str, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain dicts and lists."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Request:
    """What `load` was asked for; `notes` collects sentences for the report."""

    settings: Settings
    domain: str
    replace: bool
    sample: bool
    progress: Callable[..., None]
    notes: list[str]


@dataclass(frozen=True)
class _Task:
    """One file to load, with what its part holds now."""

    file: Path
    dataset: Dataset
    present: Part | None


@dataclass(frozen=True)
class _Converted:
    """A file's part and rejects as they wait to be moved in place."""

    task: _Task
    part: Path
    rejects: Path


def load(
    settings: Settings,
    *,
    domain: str,
    from_: Path | Sequence[Path],
    dataset: str | None = None,
    replace: bool = False,
    sample: bool = False,
    progress: Callable[..., None] | None = None,
    project_dir: Path = PROJECT_DIR,
) -> LoadReport:
    """Land files of a domain; every file lands, or none does.

    Args:
        settings: the installation.
        domain: a declared domain.
        from_: files, or folders whose files are taken by their names' patterns.
        dataset: only this one; then files given by path may have any name.
        replace: remove the dataset's parts that are not among these files.
        sample: the files are generated; real data replaces them later.
        progress: called as `progress(file=name, done=bytes, total=bytes)` along the way.
        project_dir: where the declarations are.

    Raises:
        LoadError: saying which file and what to do; what had landed before stays.

    """
    started = time.perf_counter()
    request = _Request(settings, domain, replace, sample, progress or _silent, [])
    declared = _datasets(project_dir, domain, dataset)
    chosen = _choose(declared, from_, request.notes, named=dataset is not None)
    with landing.locked(settings):
        reports = _load_locked(request, chosen)
    return LoadReport(domain, reports, tuple(request.notes), time.perf_counter() - started)


def _load_locked(request: _Request, chosen: list[tuple[Path, Dataset]]) -> tuple[FileReport, ...]:
    settings = request.settings
    present = landing.domain_parts(settings, request.domain)
    if request.sample and any(not part.sample for part in present):
        raise LoadError(
            f"{request.domain} holds real data, which a sample may not replace; "
            "use another data folder (POLLUX_DATA_DIR) for it"
        )
    samples = [part for part in present if part.sample and not request.sample]
    by_name = {(part.dataset, part.name): part for part in present if part not in samples}
    tasks = [_Task(file, data, by_name.get((data.name, file.name))) for file, data in chosen]
    others = _others(tasks, by_name)
    if not request.replace:
        for data in {task.dataset for task in tasks}:
            landing.check_declaration(data, [p for p in others if p.dataset == data.name])

    reports: list[FileReport] = []
    converted: list[_Converted] = []
    with landing.workspace(settings) as work:
        for number, task in enumerate(tasks):
            folder = work / str(number)
            report = _guarded(request, task, folder)
            reports.append(report)
            if report.outcome != "unchanged":
                converted.append(_Converted(task, folder / "part", folder / "rejects"))
        with landing.writable(settings.landing_dir):
            _commit(settings, converted, samples + others if request.replace else samples)
    if samples:
        rows = sum(part.rows_landed for part in samples)
        request.notes.append(f"the sample data of {request.domain} was removed ({rows:,} rows)")
    if request.replace and others:
        names = ", ".join(f"{part.dataset}/{part.name}" for part in others)
        request.notes.append(f"removed, as --replace asks: {names}")
    for report in reports:
        _log(request, dataclasses.asdict(report))
    return tuple(reports)


def _commit(settings: Settings, converted: list[_Converted], outdated: list[Part]) -> None:
    """Move everything in place.

    Rejects go first, so that a load cut short is seen as not done; the sample goes before real
    parts come, so that nobody sees both.
    """
    for item in converted:
        data, name = item.task.dataset, item.task.file.name
        rejects = landing.rejects_path(settings, data.domain, data.name, name)
        if item.rejects.exists():
            rejects.parent.mkdir(parents=True, exist_ok=True)
            landing.publish(item.rejects, rejects)
        else:
            rejects.unlink(missing_ok=True)
    arriving = {(item.task.dataset.name, item.task.file.name) for item in converted}
    for part in outdated:
        part.path.unlink(missing_ok=True)
        if (part.dataset, part.name) not in arriving:
            rejects = landing.rejects_path(settings, part.domain, part.dataset, part.name)
            rejects.unlink(missing_ok=True)
    for item in converted:
        path = landing.part_path(settings, item.task.dataset, item.task.file.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        landing.publish(item.part, path)


def _guarded(request: _Request, task: _Task, folder: Path) -> FileReport:
    """Convert one file; a failure goes to the load log before it is raised."""
    try:
        with landing.writable(request.settings.landing_dir):
            folder.mkdir()
            return _convert(request, task, folder)
    except LoadError as error:
        failed = {"file": str(task.file), "dataset": task.dataset.name, "part": task.file.name}
        _log(request, {**failed, "outcome": "failed", "error": str(error)})
        raise


def _convert(request: _Request, task: _Task, folder: Path) -> FileReport:
    started = time.perf_counter()
    file, data, present = task.file, task.dataset, task.present
    with _readable(file):
        before = file.stat()
        digest = sha256(file)
    same = (digest, data.fingerprint, request.sample)
    if present and (present.sha256, present.declaration, present.sample) == same:
        read, rejected, outcome = present.rows_read, present.rows_rejected, "unchanged"
    else:
        limit = request.settings.reject_limit_percent
        job = Job(
            file, file, data, folder, digest, request.sample, limit, request.progress, request.notes
        )
        read, rejected = convert(job)
        with _readable(file):
            after = file.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise LoadError(f"{file} changed while it was read; load it again when it is complete")
        outcome = "replaced" if present else "landed"
    return FileReport(
        file=str(file),
        dataset=data.name,
        part=file.name,
        outcome=outcome,
        rows_read=read,
        rows_landed=read - rejected,
        rows_rejected=rejected,
        seconds=round(time.perf_counter() - started, 3),
        bytes=before.st_size,
    )


def _log(request: _Request, entry: dict[str, object]) -> None:
    with landing.writable(request.settings.landing_dir):
        landing.append_to_log(
            request.settings, {"domain": request.domain, "sample": request.sample, **entry}
        )


def _others(tasks: list[_Task], by_name: dict[tuple[str, str], Part]) -> list[Part]:
    """Return the parts of the tasks' datasets that are not of the tasks' files."""
    datasets = {task.dataset.name for task in tasks}
    loading = {(task.dataset.name, task.file.name) for task in tasks}
    return [part for key, part in by_name.items() if key[0] in datasets and key not in loading]


def _datasets(project_dir: Path, domain: str, only: str | None) -> list[Dataset]:
    declared = read_datasets(project_dir)
    found = [data for (of, _), data in declared.items() if of == domain]
    if not found:
        known = ", ".join(sorted({of for of, _ in declared}))
        raise LoadError(f"unknown domain {domain!r}; known are: {known}")
    if all(data.format == TABLE for data in found):
        raise LoadError(
            f"{domain} comes from no files: pollux build lands what the event service took in"
        )
    if only is None:
        return found
    chosen = [data for data in found if data.name == only]
    if not chosen:
        known = ", ".join(sorted(data.name for data in found))
        raise LoadError(f"unknown dataset {only!r} of {domain}; known are: {known}")
    return chosen


def _choose(
    declared: list[Dataset], from_: Path | Sequence[Path], notes: list[str], *, named: bool
) -> list[tuple[Path, Dataset]]:
    """Pair every file with its dataset, in the order given and by name within a folder."""
    chosen: list[tuple[Path, Dataset]] = []
    for given in [from_] if isinstance(from_, Path) else from_:
        if given.is_dir():
            chosen += _in_folder(given, declared, notes)
        elif not given.exists():
            raise LoadError(f"{given} does not exist")
        elif named:
            chosen.append((given, declared[0]))
        else:
            data = _dataset_of(given, declared)
            if data is None:
                raise LoadError(f"{given} matches no pattern; {_patterns(declared)}")
            chosen.append((given, data))
    taken: dict[tuple[str, str], Path] = {}
    for file, data in chosen:
        other = taken.setdefault((data.name, file.name), file)
        if other.resolve() != file.resolve():
            raise LoadError(f"{other} and {file} have one name; rename one or load one of them")
    return list(dict.fromkeys(chosen))


def _in_folder(
    folder: Path, declared: list[Dataset], notes: list[str]
) -> list[tuple[Path, Dataset]]:
    with _readable(folder):
        files = sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != ".")
    pairs = [(file, _dataset_of(file, declared)) for file in files]
    found = [(file, data) for file, data in pairs if data is not None]
    if not found:
        raise LoadError(f"{folder} has no file of a dataset; {_patterns(declared)}")
    unknown = [file.name for file, data in pairs if data is None]
    if unknown:
        notes.append(f"{folder}: no dataset for {', '.join(unknown)}")
    return found


def _dataset_of(file: Path, declared: list[Dataset]) -> Dataset | None:
    found = [data for data in declared if data.matches(file.name)]
    if len(found) > 1:
        names = ", ".join(data.name for data in found)
        raise LoadError(f"{file} matches several datasets ({names}); name one with --dataset")
    return found[0] if found else None


def _patterns(declared: list[Dataset]) -> str:
    return "patterns are " + "; ".join(f"{d.name}: {', '.join(d.files)}" for d in declared)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LoadError(f"{file} cannot be read: {error.strerror or error}") from error


def _silent(**_: object) -> None:
    """Report no progress."""
