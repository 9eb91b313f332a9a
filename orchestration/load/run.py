"""`load`: lands files of a domain, all or none.

Belongs here: the order of the steps, what a load may remove, the report. Does not belong here:
choosing the files (`choose`), reading one (`convert`), and storing parts (`landing`).
"""

import dataclasses
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestration.load import journal, landing
from orchestration.load.choose import Chosen, choose, kind_of, readable
from orchestration.load.convert import Job, convert
from orchestration.load.declarations import TABLE, Dataset, read_datasets
from orchestration.load.errors import DISK_ERRORS, ChangedError, LoadError
from orchestration.load.landing import Part
from orchestration.load.load_log import append_to_log
from orchestration.load.names import shown
from orchestration.load.suppression import keep_out, read_suppressed
from orchestration.load.twins import content_sha256, find_twins
from pollux.runtime.settings import PROJECT_DIR, Settings

# A source file's name in its work folder.
SOURCE = "source"


@dataclass(frozen=True)
class FileReport:
    """The result for one file. `outcome` is landed, unchanged, replaced or twin; `bytes` its size.

    A twin has the same content as another file of the dataset, and is left out.
    """

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
    """The arguments of a `load`; `notes` collects sentences for the report."""

    settings: Settings
    domain: str
    replace: bool
    allow_empty: bool
    sample: bool
    progress: Callable[..., None]
    notes: list[str]


@dataclass(frozen=True)
class _Task:
    """One file to load: where its bytes are, their state, and its part as landed before."""

    chosen: Chosen
    source: Path
    sha256: str
    state: tuple[int, ...]
    seconds: float
    present: Part | None

    @property
    def size(self) -> int:
        return self.state[0]

    @property
    def is_unchanged(self) -> bool:
        """Whether the part holds this content, under the columns and rules declared now."""
        part, dataset = self.present, self.chosen.dataset
        return part is not None and (part.sha256, part.declaration, part.rules) == (
            self.sha256,
            dataset.fingerprint,
            dataset.rules,
        )


def load(
    settings: Settings,
    *,
    domain: str,
    from_: Path | Sequence[Path],
    dataset: str | None = None,
    replace: bool = False,
    allow_empty: bool = False,
    sample: bool = False,
    progress: Callable[..., None] | None = None,
    project_dir: Path = PROJECT_DIR,
) -> LoadReport:
    """Land files of a domain; every file lands, or none does, even if the process is killed.

    Args:
        settings: the installation.
        domain: a declared domain.
        from_: files, pipes, or folders whose files are taken by their names' patterns.
        dataset: load only this one; files given by path may then have any name.
        replace: remove the dataset's parts that are not among these files.
        allow_empty: files without rows may replace rows that landed before.
        sample: the files are generated; real data replaces them later.
        progress: called as `progress(file=name, done=bytes, total=bytes)` along the way.
        project_dir: where the declarations are.

    Raises:
        LoadError: naming the file and what to do; what had landed before stays.

    """
    started = time.perf_counter()
    request = _Request(settings, domain, replace, allow_empty, sample, progress or _silent, [])
    declared = _datasets(project_dir, domain, dataset)
    chosen = choose(declared, from_, request.notes, named=dataset is not None)
    with ExitStack() as stack:
        # A pipe can be read only once and may be slow: read it before taking the lock.
        sources = [_from_pipe(stack, one.file) for one in chosen]
        stack.enter_context(landing.locked(settings))
        reports = _load_locked(request, list(zip(chosen, sources, strict=True)))
    return LoadReport(domain, reports, tuple(request.notes), time.perf_counter() - started)


def _from_pipe(stack: ExitStack, file: Path) -> Path:
    if kind_of(file) != "a pipe":
        return file
    copy = Path(stack.enter_context(TemporaryDirectory())) / "pipe"
    with readable(file), file.open("rb") as pipe, copy.open("wb") as out:
        shutil.copyfileobj(pipe, out)
    return copy


def _load_locked(
    request: _Request, chosen: Sequence[tuple[Chosen, Path]]
) -> tuple[FileReport, ...]:
    settings = request.settings
    present = landing.domain_parts(settings, request.domain)
    if request.sample and any(not part.sample for part in present):
        raise LoadError(
            f"{request.domain} holds real data, which a sample may not replace; "
            "use another data folder (POLLUX_DATA_DIR) for it"
        )
    samples = [part for part in present if part.sample and not request.sample]
    landed = {(part.dataset, part.name): part for part in present if part not in samples}
    tasks = [_examine(request, one, source, landed.get(one.key)) for one, source in chosen]
    others = _others(tasks, landed)
    if not request.replace:
        for dataset in {one.dataset for one, _ in chosen}:
            landing.check_declaration(dataset, [p for p in others if p.dataset == dataset.name])
    twins = find_twins(
        {task.chosen.key: task.sha256 for task in tasks},
        {key: part.sha256 for key, part in landed.items()},
        [] if request.replace else [(part.dataset, part.name) for part in others],
    )
    going = samples + (others if request.replace else [])

    reports: list[FileReport] = []
    converted: list[tuple[Chosen, Job]] = []
    with landing.workspace(settings) as work:
        for number, task in enumerate(tasks):
            if task.chosen.key in twins:
                reports.append(_leave_out(request, task, twins[task.chosen.key]))
            elif task.is_unchanged and task.present is not None:
                part = task.present
                reports.append(_report(task, "unchanged", part.rows_read, part.rows_rejected))
            else:
                job, report = _convert(request, task, work / str(number))
                converted.append((task.chosen, job))
                reports.append(report)
        if not (request.allow_empty or request.sample):
            _check_emptying(request, tasks, reports, going)
        going += [task.present for task in tasks if task.chosen.key in twins and task.present]
        with landing.writable(settings.landing_dir):
            _commit(request, converted, going, reports)
    if samples:
        rows = sum(part.rows_landed for part in samples)
        request.notes.append(f"the sample data of {request.domain} was removed ({rows:,} rows)")
    if request.replace and others:
        names = ", ".join(f"{part.dataset}/{shown(part.name)}" for part in others)
        request.notes.append(f"removed, as --replace asks: {names}")
    return tuple(reports)


def _commit(
    request: _Request,
    converted: Sequence[tuple[Chosen, Job]],
    going: Sequence[Part],
    reports: Sequence[FileReport],
) -> None:
    """Move everything into place as one delivery, and log it."""
    settings = request.settings
    moves: dict[Path, Path] = {}
    removals: list[Path] = []
    for part in going:
        rejects = landing.rejects_path(settings, part.domain, part.dataset, part.name)
        removals += [part.path, rejects]
    for one, job in converted:
        rejects = landing.rejects_path(settings, one.dataset.domain, one.dataset.name, one.part)
        if job.rejects.exists():
            moves[job.rejects] = rejects
        else:
            removals.append(rejects)
        moves[job.part] = landing.part_path(settings, one.dataset, one.part)
    entries = [_entry(request, dataclasses.asdict(report)) for report in reports]
    removals = [path for path in removals if path.exists()]
    if moves or removals:
        journal.commit(settings, moves=moves, removals=removals, log=entries)
    else:
        append_to_log(settings, entries)


def _examine(request: _Request, chosen: Chosen, source: Path, present: Part | None) -> _Task:
    started = time.perf_counter()
    with _logged(request, chosen), readable(chosen.file):
        state = _state(source)
        digest = content_sha256(source)
    return _Task(chosen, source, digest, state, time.perf_counter() - started, present)


def _convert(request: _Request, task: _Task, folder: Path) -> tuple[Job, FileReport]:
    """Convert one file in a work folder; a failure is logged before it is raised."""
    started = time.perf_counter()
    one, settings = task.chosen, request.settings
    with _logged(request, one):
        with landing.writable(settings.landing_dir):
            folder.mkdir()
            # A neutral name: DuckDB gives meaning to endings, glob characters and folder names,
            # and cannot open some names at all.
            source = folder / SOURCE
            source.symlink_to(task.source.absolute())
        job = Job(
            file=Path(shown(one.file)),
            source=source,
            dataset=one.dataset,
            folder=folder,
            sha256=task.sha256,
            sample=request.sample,
            reject_limit_percent=settings.reject_limit_percent,
            progress=request.progress,
            notes=request.notes,
        )
        with _blamed(one.file, settings):
            read, rejected = convert(job)
            read -= _keep_out(request, job)
        with readable(one.file):
            if _state(task.source) != task.state:
                raise ChangedError(
                    f"{shown(one.file)} changed while it was read; load it again when it is "
                    "complete"
                )
    outcome = "replaced" if task.present else "landed"
    return job, _report(task, outcome, read, rejected, time.perf_counter() - started)


def _keep_out(request: _Request, job: Job) -> int:
    """Drop what is about somebody who was erased; return how many rows that were."""
    suppressed = read_suppressed(request.settings)
    dropped = keep_out(job.dataset, job.part, job.rejects, suppressed)
    if dropped:
        request.notes.append(
            f"{job.file.name}: {dropped:,} rows about somebody who was erased were left out"
        )
    return dropped


def _leave_out(request: _Request, task: _Task, holder: str) -> FileReport:
    one = task.chosen
    text = (
        f"{shown(one.file)} holds the same as {shown(holder)} of {one.dataset.name}, which counts "
        "once; it was left out"
    )
    if task.present is not None:
        text += f", and the {task.present.rows_landed:,} rows that had landed from it were removed"
    request.notes.append(text)
    return _report(task, "twin", 0, 0)


def _check_emptying(
    request: _Request,
    tasks: Sequence[_Task],
    reports: Sequence[FileReport],
    going: Sequence[Part],
) -> None:
    """Raise `LoadError` if files without rows would remove rows that landed before."""
    rows: Counter[str] = Counter()
    for task, report in zip(tasks, reports, strict=True):
        rows[report.dataset] += report.rows_landed
        before = task.present.rows_landed if task.present else 0
        if before and report.outcome == "replaced" and not report.rows_landed:
            with _logged(request, task.chosen):
                raise LoadError(
                    f"{report.file} holds no row that lands, but {before:,} landed from it before; "
                    "nothing changed. To remove them, load it with --allow-empty"
                )
    every = rows.total()
    lost = [p for p in going if p.rows_landed and not (every if p.sample else rows[p.dataset])]
    if lost:
        names = ", ".join(sorted({part.dataset for part in lost}))
        with _logged(request, tasks[0].chosen):
            raise LoadError(
                f"the files hold no row that lands, but {sum(p.rows_landed for p in lost):,} rows "
                f"of {names} would go; nothing changed. To remove them, load with --allow-empty"
            )


def _others(tasks: Sequence[_Task], landed: dict[tuple[str, str], Part]) -> list[Part]:
    """Return the parts of the tasks' datasets that come from other files."""
    datasets = {task.chosen.dataset.name for task in tasks}
    loading = {task.chosen.key for task in tasks}
    return [part for key, part in landed.items() if key[0] in datasets and key not in loading]


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


def _report(task: _Task, outcome: str, read: int, rejected: int, seconds: float = 0) -> FileReport:
    return FileReport(
        file=shown(task.chosen.file),
        dataset=task.chosen.dataset.name,
        part=task.chosen.part,
        outcome=outcome,
        rows_read=read,
        rows_landed=read - rejected,
        rows_rejected=rejected,
        seconds=round(task.seconds + seconds, 3),
        bytes=task.size,
    )


def _entry(request: _Request, more: dict[str, object]) -> dict[str, object]:
    return {"domain": request.domain, "sample": request.sample, **more}


@contextmanager
def _logged(request: _Request, chosen: Chosen) -> Iterator[None]:
    """Log a failure before it is raised."""
    try:
        yield
    except LoadError as error:
        failed = {"file": shown(chosen.file), "dataset": chosen.dataset.name, "part": chosen.part}
        entry = _entry(request, {**failed, "outcome": "failed", "error": str(error)})
        with landing.writable(request.settings.landing_dir):
            append_to_log(request.settings, [entry])
        raise


@contextmanager
def _blamed(file: Path, settings: Settings) -> Iterator[None]:
    """Turn an `OSError` into an error that blames the landing zone or the source file."""
    try:
        yield
    except OSError as error:
        is_ours = error.filename and Path(error.filename).name != SOURCE
        if is_ours or error.errno in DISK_ERRORS:
            with landing.writable(settings.landing_dir):
                raise
        with readable(file):
            raise


def _state(file: Path) -> tuple[int, ...]:
    """Size, time of change and inode: one of them changes when the file does."""
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _silent(**_: object) -> None:
    """Report no progress."""
