"""The processes of Dagster's runs, found by notes that outlive the process that started them.

Dagster is not imported here, so that `pollux down` need not import it.
"""

import json
from contextlib import suppress
from pathlib import Path

import psutil

from pollux.runtime.processes import find, identity, write_record
from pollux.runtime.settings import Settings


def note_worker(settings: Settings, run_id: str, process: psutil.Process) -> None:
    """Notes the process of a run."""
    write_record(_note(settings, run_id), identity(process))


def worker(settings: Settings, run_id: str) -> psutil.Process | None:
    """The process of a run, None if it has ended."""
    with suppress(OSError, ValueError):
        return find(json.loads(_note(settings, run_id).read_text()))
    return None


def workers(settings: Settings) -> list[psutil.Process]:
    """The processes of all runs that have not ended; deletes the notes of the others."""
    found = []
    for note in sorted((settings.dagster_home / "workers").glob("*.json")):
        process = worker(settings, note.stem)
        if process is None:
            note.unlink(missing_ok=True)
        else:
            found.append(process)
    return found


def _note(settings: Settings, run_id: str) -> Path:
    return settings.dagster_home / "workers" / f"{run_id}.json"
