"""The landing zone: parts, the record each carries, empty parts, the lock and the load log.

Belongs here: the layout `<domain>/<dataset>/<part>.parquet` and everything that reads or keeps it.
Does not belong here: reading source files. A part's Parquet metadata is its record, so content
and record change in one rename; there is no second store that could disagree.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from orchestration.load.convert_csv import METADATA_KEY, write_empty
from orchestration.load.declarations import Dataset
from orchestration.load.errors import LandingError, LoadError
from pollux.runtime.settings import Settings

EMPTY = "_empty"
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class Part:
    """What landed from one source file; `name` is the file's name, `path` the Parquet file."""

    domain: str
    dataset: str
    name: str
    path: Path
    sha256: str
    declaration: str
    rows_landed: int
    rows_rejected: int
    sample: bool
    loaded_at: str

    @property
    def rows_read(self) -> int:
        """Rows of the source file, header and blank lines not counted."""
        return self.rows_landed + self.rows_rejected


def dataset_dir(settings: Settings, dataset: Dataset) -> Path:
    """Return the folder of a dataset's parts."""
    return settings.landing_dir / dataset.domain / dataset.name


def part_path(settings: Settings, dataset: Dataset, name: str) -> Path:
    """Return where the part of a source file of this name lies."""
    return dataset_dir(settings, dataset) / f"{name}{_SUFFIX}"


def rejects_path(settings: Settings, domain: str, dataset: str, name: str) -> Path:
    """Return where the rejected rows of a source file of this name lie."""
    return settings.rejects_dir / domain / dataset / f"{name}.csv"


def parts(settings: Settings, dataset: Dataset) -> list[Part]:
    """Return a dataset's parts by name, without the empty one.

    Raises:
        LoadError: when a file in the folder is not one that load wrote.

    """
    folder = dataset_dir(settings, dataset)
    found = (_read_part(path) for path in sorted(folder.glob(f"*{_SUFFIX}")))
    return [part for part in found if part.name != EMPTY]


def domain_parts(settings: Settings, domain: str) -> list[Part]:
    """Return all parts of a domain, without the empty ones."""
    files = sorted((settings.landing_dir / domain).glob(f"*/*{_SUFFIX}"))
    return [part for part in map(_read_part, files) if part.name != EMPTY]


def fingerprint(settings: Settings, domain: str) -> str:
    """Return a hash that changes when what has landed in the domain changes."""
    return _hash(domain_parts(settings, domain))


def dataset_fingerprint(settings: Settings, dataset: Dataset) -> str:
    """Return a hash that changes when what has landed of the dataset, or its columns, changes."""
    return _hash(parts(settings, dataset), dataset.fingerprint)


def is_sample(settings: Settings, domain: str) -> bool:
    """Whether what has landed in the domain is sample data."""
    return any(part.sample for part in domain_parts(settings, domain))


def check_declaration(dataset: Dataset, found: Iterable[Part]) -> None:
    """Raise `LoadError` where parts landed under other columns or types than now declared."""
    old = [part.name for part in found if part.declaration != dataset.fingerprint]
    if old:
        raise LoadError(
            f"{dataset.domain}.{dataset.name}: columns or types were declared differently when "
            f"{', '.join(old)} landed; load all its files again with --replace"
        )


def ensure_empty_parts(settings: Settings, datasets: Iterable[Dataset]) -> None:
    """Give every dataset a part of its columns and no row, beside the real parts or alone.

    Raises:
        LoadError: when the landing zone cannot be written or another load holds it.

    """
    stale = [dataset for dataset in datasets if not _has_current_empty(settings, dataset)]
    if not stale:
        return
    with locked(settings), workspace(settings) as work:
        for dataset in stale:
            out = work / "empty"
            record = part_record(dataset, sha256="", rejected=0, sample=False)
            write_empty(dataset, out, record)
            path = part_path(settings, dataset, EMPTY)
            path.parent.mkdir(parents=True, exist_ok=True)
            publish(out, path)


def part_record(
    dataset: Dataset, *, sha256: str, rejected: int, sample: bool
) -> dict[str, str | int | bool]:
    """Return what a part's Parquet metadata says beyond its rows."""
    return {
        "sha256": sha256,
        "declaration": dataset.fingerprint,
        "rows_rejected": rejected,
        "sample": sample,
        "loaded_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def publish(temporary: Path, path: Path) -> None:
    """Move a written file to its place: what is seen there is the old file or the new one."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the landing zone; one writer at a time.

    Raises:
        LoadError: naming the holder, when it does not let go in `lock_timeout_seconds`; or when
            the folder cannot be written.

    """
    lock = settings.landing_dir / ".lock"
    holder = settings.landing_dir / ".lock.holder"
    held = FileLock(lock, timeout=settings.lock_timeout_seconds)
    with writable(settings.landing_dir):
        settings.landing_dir.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire()
        except Timeout:
            by = "another process"
            with contextlib.suppress(OSError):
                by = holder.read_text(encoding="utf-8").strip() or by
            raise LandingError(
                f"the landing zone {settings.landing_dir} is held by {by}; "
                f"waited {settings.lock_timeout_seconds:g} s, try again when it is done"
            ) from None
    try:
        with writable(settings.landing_dir):
            holder.write_text(f"process {os.getpid()} ({shlex.join(sys.argv)[:200]})\n", "utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        held.release()


@contextlib.contextmanager
def workspace(settings: Settings) -> Iterator[Path]:
    """Give a temporary folder on the landing zone's disk; clear what killed loads left.

    To be used with the lock held.
    """
    base = settings.landing_dir / ".tmp"
    with writable(base):
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        work = Path(tempfile.mkdtemp(dir=base))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn an operating system's refusal into a `LoadError` that names the folder."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise LandingError(f"cannot write {where}: {error.strerror or error}") from error


def append_to_log(settings: Settings, entry: Mapping[str, object]) -> None:
    """Add one line to the load log."""
    line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **entry}) + "\n"
    path = settings.landing_dir / "load_log.jsonl"
    torn = path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as log:
        log.write("\n" + line if torn else line)


def read_load_log(settings: Settings) -> list[dict[str, Any]]:
    """Return the entries of the load log, oldest first, without lines torn by a crash."""
    path = settings.landing_dir / "load_log.jsonl"
    entries = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
    return entries


def _read_part(path: Path) -> Part:
    try:
        footer = pq.read_metadata(path)
        record = json.loads((footer.metadata or {})[METADATA_KEY.encode()])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise LoadError(f"{path} is not a part that load wrote; move it away") from error
    return Part(
        domain=path.parts[-3],
        dataset=path.parts[-2],
        name=path.name.removesuffix(_SUFFIX),
        path=path,
        sha256=record["sha256"],
        declaration=record["declaration"],
        rows_landed=footer.num_rows,
        rows_rejected=record["rows_rejected"],
        sample=record["sample"],
        loaded_at=record["loaded_at"],
    )


def _has_current_empty(settings: Settings, dataset: Dataset) -> bool:
    path = part_path(settings, dataset, EMPTY)
    return path.exists() and _read_part(path).declaration == dataset.fingerprint


def _hash(found: Iterable[Part], *more: str) -> str:
    content = [[p.dataset, p.name, p.sha256, p.declaration, p.rows_landed] for p in found]
    return hashlib.sha256(json.dumps([content, *more]).encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
