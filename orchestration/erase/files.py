"""Takes subjects out of every file of an installation, one kind of files after the other.

Belongs here: the order. Does not belong here: how a kind of files is written anew (`landed`,
`raw_files`, `tables`, `waiting`), and the database's files (`database`).
"""

import shutil
from collections.abc import Mapping, Sequence

from orchestration.erase.changes import Changes, Note, remove_unfinished
from orchestration.erase.columns import IdColumns
from orchestration.erase.landed import erase_landed, erase_rejects
from orchestration.erase.raw_files import erase_raw_files
from orchestration.erase.tables import erase_lines, erase_parquet, erase_warehouse
from orchestration.erase.waiting import erase_waiting
from orchestration.object_store import empty_stores
from pollux.runtime.duck import open_duckdb
from pollux.runtime.live_lines import SUFFIX
from pollux.runtime.settings import Settings
from pollux.subjects import Subject, Suppressed


def erase_files(
    settings: Settings,
    subjects: Sequence[Subject],
    columns: IdColumns,
    suppressed: Suppressed,
    orders: Mapping[int, int],
    note: Note,
) -> None:
    """Takes subjects out of all files but the database's; the caller holds all locks.

    `orders` are those of `pollux.runtime.erasures.read_orders`.
    """
    empty_stores(settings)
    erase_landed(settings, suppressed, orders, note)
    erase_rejects(settings, suppressed, note)
    builds_dir = settings.data_dir / "builds"
    remove_unfinished(settings.inbox_dir, settings.releases_dir, settings.lake_dir, builds_dir)
    remove_killed(settings)
    changes = Changes()
    with open_duckdb() as engine:
        erase_raw_files(engine, settings, subjects, columns, changes)
        released = {
            path: f"releases: {path.parent.parent.name}.{path.stem}"
            for path in sorted(settings.releases_dir.glob("*/r*/*.parquet"))
        }
        live = {
            path: f"live: {path.stem}"
            for folder, pattern in (
                (settings.releases_dir, "*/r*/live"),
                (builds_dir, "live/*/*"),
                (builds_dir, "learned"),
            )
            for path in sorted(folder.glob(f"{pattern}/*"))
            if path.suffix in (".parquet", SUFFIX)
        }
        lake = {
            path: f"lake: {path.parent.name}"
            for path in sorted(settings.lake_dir.rglob("*.parquet"))
        }
        for path, place in (released | live | lake).items():
            erase = erase_lines if path.suffix == SUFFIX else erase_parquet
            changes.rows[place] += erase(engine, path, subjects, columns, changes)
    note(changes.rows)
    changes.make()
    erase_warehouse(settings, subjects, columns, note)
    erase_waiting(settings, subjects, columns, note)


def remove_killed(settings: Settings) -> None:
    """Removes what killed releases and builds had begun; the caller holds their locks."""
    builds_dir = settings.data_dir / "builds"
    for folder in (*settings.releases_dir.glob("*/.r*"), *builds_dir.glob("live/*/.*")):
        shutil.rmtree(folder)
