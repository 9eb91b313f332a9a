"""The landing zone: parts, the record each carries, empty parts and the lock.

Belongs here: the layout `<domain>/<dataset>/<part>.parquet` and everything that reads or writes it.
Does not belong here: reading source files. A part's record is in its Parquet metadata, so content
and record change in one rename and cannot disagree.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from orchestration.load import journal
from orchestration.load.declarations import Dataset
from orchestration.load.disk import move, sync
from orchestration.load.errors import LandingError, LoadError
from orchestration.load.names import safe_name, shown
from pollux.runtime.settings import Settings

# Of what a part's Parquet file says of itself.
METADATA_KEY = "pollux"
EMPTY = "_empty"
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class Part:
    """What landed from one source file; `name` is its `part_name`, `path` the Parquet file.

    `sha256` is the hash of the file's content, after gzip is unpacked; `declaration` and `rules`
    are those of its dataset when it landed.
    """

    domain: str
    dataset: str
    name: str
    path: Path
    sha256: str
    declaration: str
    rules: str
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
    """Return the path of the part of this name."""
    return dataset_dir(settings, dataset) / f"{name}{_SUFFIX}"


def rejects_path(settings: Settings, domain: str, dataset: str, name: str) -> Path:
    """Return the path of the rejected rows of the part of this name."""
    return settings.rejects_dir / domain / dataset / f"{name}.csv"


def part_name(file_name: str) -> str:
    """Return the name of a source file's part: the file's own name, where that is possible."""
    return safe_name(file_name, more=len(_SUFFIX))


def parts(settings: Settings, dataset: Dataset) -> list[Part]:
    """Return a dataset's parts by name, without the empty one.

    Raises:
        LoadError: when a file in the folder is not one that load wrote.

    """
    return _parts(settings, f"{dataset.domain}/{dataset.name}/*{_SUFFIX}")


def domain_parts(settings: Settings, domain: str) -> list[Part]:
    """Return all parts of a domain, without the empty ones."""
    return _parts(settings, f"{domain}/*/*{_SUFFIX}")


def fingerprint(settings: Settings, domain: str) -> str:
    """Return a hash that changes when the landed data of the domain changes."""
    return _hash(domain_parts(settings, domain))


def dataset_fingerprint(settings: Settings, dataset: Dataset) -> str:
    """Return a hash that changes when the dataset's landed data or its columns change."""
    return _hash(parts(settings, dataset), dataset.fingerprint)


def is_sample(settings: Settings, domain: str) -> bool:
    """Whether what has landed in the domain is sample data."""
    return any(part.sample for part in domain_parts(settings, domain))


def check_declaration(dataset: Dataset, found: Iterable[Part]) -> None:
    """Raise `LoadError` if parts landed under other columns or types than are declared now."""
    old = [part.name for part in found if part.declaration != dataset.fingerprint]
    if old:
        raise LoadError(
            f"{dataset.domain}.{dataset.name}: columns or types were declared differently when "
            f"{', '.join(old)} landed; load all its files again with --replace"
        )


def part_record(
    dataset: Dataset, *, sha256: str, rejected: int, sample: bool
) -> dict[str, str | int | bool]:
    """Return the record that goes into a part's Parquet metadata."""
    return {
        "sha256": sha256,
        "declaration": dataset.fingerprint,
        "rules": dataset.rules,
        "rows_rejected": rejected,
        "sample": sample,
        "loaded_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def publish(temporary: Path, path: Path) -> None:
    """Move a written file to its place; a reader sees the old file or the whole new one."""
    sync(temporary)
    move(temporary, path)


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the landing zone's lock; an interrupted delivery is finished first.

    Raises:
        LandingError: naming the holder, when it does not let go within `lock_timeout_seconds`; or
            when the folder cannot be written.

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
            command = shown(shlex.join(sys.argv))[:200]
            holder.write_text(f"process {os.getpid()} ({command})\n", "utf-8")
        journal.finish(settings)
        yield
    finally:
        holder.unlink(missing_ok=True)
        held.release()


@contextlib.contextmanager
def workspace(settings: Settings) -> Iterator[Path]:
    """Give a temporary folder on the landing zone's disk; remove what killed loads left behind.

    The caller holds the lock.
    """
    base = settings.landing_dir / ".tmp"
    with writable(base):
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        work = Path(tempfile.mkdtemp(dir=base))
    try:
        yield work
    finally:
        # An unfinished delivery still needs the files in there.
        if not journal.is_open(settings):
            shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turn an `OSError` into a `LandingError` that names the path."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise LandingError(f"cannot write {where}: {error.strerror or error}") from error


def _parts(settings: Settings, pattern: str) -> list[Part]:
    if journal.is_open(settings):
        with locked(settings):
            pass
    found = (read_part(path) for path in sorted(settings.landing_dir.glob(pattern)))
    return [part for part in found if part is not None and part.name != EMPTY]


def read_part(path: Path) -> Part | None:
    """The part in a file; None if a load has just removed it."""
    import pyarrow as pa  # noqa: PLC0415 - takes longer than pollux status where nothing has landed
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        footer = pq.read_metadata(path)
        record = json.loads((footer.metadata or {})[METADATA_KEY.encode()])
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise LoadError(f"{shown(path)} is not a part that load wrote; move it away") from error
    return Part(
        domain=path.parts[-3],
        dataset=path.parts[-2],
        name=path.name.removesuffix(_SUFFIX),
        path=path,
        sha256=record["sha256"],
        declaration=record["declaration"],
        # Parts that version 0.1.0 landed were held to none.
        rules=record.get("rules", ""),
        rows_landed=footer.num_rows,
        rows_rejected=record["rows_rejected"],
        sample=record["sample"],
        loaded_at=record["loaded_at"],
    )


def _hash(found: Iterable[Part], *more: str) -> str:
    content = [[p.dataset, p.name, p.sha256, p.declaration, p.rows_landed] for p in found]
    return hashlib.sha256(json.dumps([content, *more]).encode()).hexdigest()
