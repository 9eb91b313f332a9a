"""The part of a dataset of which nothing has landed: its columns, and no rows."""

from collections.abc import Iterable
from pathlib import Path

from orchestration.load import landing
from orchestration.load.convert_csv import write_empty
from orchestration.load.declarations import Dataset
from pollux.runtime.settings import Settings


def ensure_empty_parts(settings: Settings, datasets: Iterable[Dataset]) -> None:
    """Give a dataset without real parts one with its columns and no rows, and no other dataset.

    DuckDB takes all files of a folder for as long as the first: an empty one there, and it plans
    joins for tables without rows.

    Raises:
        LoadError: when the landing zone cannot be written or another load holds it.

    """
    stale = [dataset for dataset in datasets if not _is_empty_part_right(settings, dataset)]
    if not stale:
        return
    with landing.locked(settings), landing.workspace(settings) as work:
        for dataset in stale:
            path = _path(settings, dataset)
            with landing.writable(path.parent):
                path.unlink(missing_ok=True)
            if _has_parts(settings, dataset):
                continue
            out = work / "empty"
            record = landing.part_record(dataset, sha256="", rejected=0, sample=False)
            write_empty(dataset, out, record)
            path.parent.mkdir(parents=True, exist_ok=True)
            landing.publish(out, path)


def _is_empty_part_right(settings: Settings, dataset: Dataset) -> bool:
    part = landing.read_part(_path(settings, dataset))
    if _has_parts(settings, dataset):
        return part is None
    return part is not None and part.declaration == dataset.fingerprint


def _has_parts(settings: Settings, dataset: Dataset) -> bool:
    empty = _path(settings, dataset)
    found = landing.dataset_dir(settings, dataset).glob(f"*{empty.suffix}")
    return any(path != empty for path in found)


def _path(settings: Settings, dataset: Dataset) -> Path:
    return landing.part_path(settings, dataset, landing.EMPTY)
