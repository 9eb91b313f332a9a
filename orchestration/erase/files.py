"""Takes subjects out of every file of an installation, one kind of files after the other.

Belongs here: the order, and messages that wait at the own broker. Does not belong here: how a kind
of files is written anew (`landed`, `raw_files`, `tables`), and the database's files (`database`).
"""

import re
from collections.abc import Sequence

from orchestration.erase.changes import Changes, Note
from orchestration.erase.columns import IdColumns
from orchestration.erase.landed import erase_landed, erase_rejects
from orchestration.erase.raw_files import erase_raw_files
from orchestration.erase.tables import erase_parquet, erase_warehouse
from pollux.runtime import broker_store
from pollux.runtime.broker import is_running
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step
from pollux.subject_patterns import byte_pattern
from pollux.subjects import Subject, Suppressed


def erase_files(
    settings: Settings,
    subjects: Sequence[Subject],
    columns: IdColumns,
    suppressed: Suppressed,
    note: Note,
) -> None:
    """Takes subjects out of all files but the database's; the caller holds all locks."""
    erase_landed(settings, suppressed, note)
    erase_rejects(settings, suppressed, note)
    changes = Changes()
    with open_duckdb() as engine:
        erase_raw_files(engine, settings, subjects, columns, changes)
        released = {
            path: f"releases: {path.parent.parent.name}.{path.stem}"
            for path in sorted(settings.releases_dir.glob("*/r*/*.parquet"))
        }
        lake = {
            path: f"lake: {path.parent.name}"
            for path in sorted(settings.lake_dir.rglob("*.parquet"))
        }
        for path, place in (released | lake).items():
            changes.rows[place] += erase_parquet(engine, path, subjects, columns, changes)
    note(changes.rows)
    changes.make()
    erase_warehouse(settings, subjects, columns, note)
    _erase_waiting(settings, subjects, columns, note)


def _erase_waiting(
    settings: Settings,
    subjects: Sequence[Subject],
    columns: IdColumns,
    note: Note,
) -> None:
    """Takes out of the own broker's store what waits for clients who are away, if it is stopped."""
    store = broker_store.store_of(settings)
    patterns = [re.compile(byte_pattern(one, columns[one.kind])) for one in subjects]

    def is_about_them(payload: bytes) -> bool:
        return any(pattern.search(payload) for pattern in patterns)

    if not is_running(settings):
        rows = sum(map(is_about_them, broker_store.read_payloads(store)))
        note({"broker: messages": rows})
        broker_store.drop_messages(store, is_about_them)
        step("erase.messages_dropped")
