"""The journal of a delivery: it lands whole or not at all, whenever the process is killed.

All files are first complete in a temporary folder; then the journal says where each goes. Once the
journal is in place the delivery is committed, and the next process that opens the landing zone
finishes it. The caller holds the lock.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestration.load.disk import move, sync
from orchestration.load.errors import LandingError
from orchestration.load.load_log import append_to_log, read_load_log
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step


def commit(
    settings: Settings,
    *,
    moves: Mapping[Path, Path],
    removals: Sequence[Path] = (),
    log: Sequence[Mapping[str, object]] = (),
) -> None:
    """Move written files to their places and remove others, all of it or nothing.

    Args:
        settings: the installation; its landing zone is locked.
        moves: where each file is, on the landing zone's disk, and where it goes.
        removals: files to remove.
        log: entries for the load log.

    Raises:
        OSError: before the delivery is committed; nothing has changed then.
        LandingError: when it is committed but could not be finished.

    """
    for staged, target in moves.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        sync(staged)
        sync(target.parent.parent)
    for folder in {folder for staged in moves for folder in _folders(settings, staged)}:
        sync(folder)
    step("load.staged")
    delivery = uuid4().hex
    text = json.dumps(
        {
            "delivery": delivery,
            "moves": [[_relative(settings, path) for path in pair] for pair in moves.items()],
            "removals": [
                _relative(settings, path) for path in removals if path not in moves.values()
            ],
            "log": [{**entry, "delivery": delivery} for entry in log],
        }
    )
    journal = _path(settings)
    written = journal.with_name(f"{journal.name}.new")
    written.write_text(text, encoding="utf-8")
    sync(written)
    step("load.journal_written")
    written.replace(journal)
    sync(journal.parent)
    step("load.journaled")
    finish(settings, has_begun=False)


def is_open(settings: Settings) -> bool:
    """Whether a committed delivery is not yet all in place."""
    return _path(settings).exists()


def finish(settings: Settings, *, has_begun: bool = True) -> None:
    """Do what the journal says, if there is one, except what has been done already.

    Raises:
        LandingError: when that is not possible now; the journal stays.

    """
    if not is_open(settings):
        return
    try:
        _finish(settings, _read(settings), has_begun=has_begun)
    except OSError as error:
        raise LandingError(
            f"cannot write {error.filename2 or error.filename or settings.landing_dir}: "
            f"{error.strerror or error}; the delivery is complete all the same, and is put in "
            "place by the next command that can write there"
        ) from error


def _finish(settings: Settings, journal: dict[str, Any], *, has_begun: bool) -> None:
    removals = [settings.data_dir / path for path in journal["removals"]]
    moves = [(settings.data_dir / s, settings.data_dir / t) for s, t in journal["moves"]]
    for path in removals:
        path.unlink(missing_ok=True)
        step("load.removed")
    for staged, target in moves:
        if staged.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            move(staged, target)
        elif not target.exists():
            raise LandingError(
                f"{_path(settings)} records a delivery whose file {staged} is gone. Remove "
                "the journal and load the delivery again"
            )
        step("load.moved")
    for folder in {path.parent for path in removals}:
        if folder.exists():
            sync(folder)
    step("load.placed")
    entries = journal["log"]
    if has_begun:
        there = {_key(entry) for entry in read_load_log(settings)}
        entries = [entry for entry in entries if _key(entry) not in there]
    if entries:
        append_to_log(settings, entries)
    step("load.logged")
    _path(settings).unlink()
    sync(settings.landing_dir)
    step("load.finished")


def _read(settings: Settings) -> dict[str, Any]:
    path = _path(settings)
    try:
        journal: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LandingError(
            f"{path}, which records an interrupted delivery, cannot be read ({error}). "
            "Move it away and load the delivery again"
        ) from error
    return journal


def _path(settings: Settings) -> Path:
    return settings.landing_dir / ".delivery.json"


def _relative(settings: Settings, path: Path) -> str:
    # A data folder may be moved or restored from a backup before the delivery is finished.
    return os.path.relpath(path, settings.data_dir)


def _folders(settings: Settings, staged: Path) -> list[Path]:
    """The folders from a staged file up to and including the landing zone."""
    return [f for f in staged.parents if f.is_relative_to(settings.landing_dir)]


def _key(entry: Mapping[str, Any]) -> tuple[object, ...]:
    return entry.get("delivery"), entry.get("dataset"), entry.get("part")
