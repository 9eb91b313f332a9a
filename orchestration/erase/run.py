"""`erase`: takes a subject out of everything the installation keeps, and keeps them out.

Belongs here: the order of the steps, the locks, the report. The steps are in the other modules.

First one transaction, after which no service answers with the subject
(`pollux.runtime.erasures.erase`). It also enters the erasure in a journal; from then on any call
of `finish` does the rest, however often it is interrupted: every step looks for what is left.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import psycopg

from orchestration.erase.columns import IdColumns, declared_columns
from orchestration.erase.database import clear_log, erase_built, rewrite_tables
from orchestration.erase.landed import erase_landed, erase_rejects
from orchestration.erase.raw_files import erase_raw_files
from orchestration.erase.record import is_genuine, sign
from orchestration.erase.scan import Place, Scan, scan
from orchestration.erase.tables import erase_parquet, erase_warehouse
from orchestration.load import landing
from orchestration.load.inbox import locked as inbox_locked
from orchestration.load.suppression import write_suppressed
from orchestration.release import registry
from pollux.runtime import erasures
from pollux.runtime.duck import open_duckdb
from pollux.runtime.erasures import Erasure
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import ServingStore, find_serving_store, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.steps import step
from pollux.runtime.subject_rows import id_columns
from pollux.runtime.warehouse import lock_warehouse
from pollux.subjects import Subject, Suppressed

SHOWN_PLACES = 5


class ErasureError(PolluxError):
    """Bytes of somebody who was erased are left; no service answers with them any more."""


@dataclass(frozen=True)
class ErasureReport:
    """An erasure whose bytes are gone: rows deleted by place, and its signed record."""

    number: int
    kind: str
    rows: Mapping[str, int]
    record: Mapping[str, Any]


def erase(
    settings: Settings, subject: Subject, progress: Callable[[str], None] = lambda _what: None
) -> ErasureReport:
    """Erases a subject, whether or not anything is known of them.

    Raises `ErasureError` where bytes are left, and what the locks raise where a build, load or
    release holds one for too long: services then answer with the subject no more all the same, and
    `finish` does the rest.
    """
    progress("the serving database")
    with open_serving_store(settings).connect() as connection:
        erased = erasures.erase(connection, subject)
    reports = finish(settings, progress)
    return next(report for report in reports if report.number == erased.number)


def finish(
    settings: Settings, progress: Callable[[str], None] = lambda _what: None
) -> list[ErasureReport]:
    """Removes the bytes of everybody whose erasure is not finished; raises as `erase` does."""
    if not find_serving_store(settings).is_made():
        return []
    database = open_serving_store(settings)
    with database.connect() as connection:
        if not erasures.read_erasures(connection, unfinished=True):
            return []
        connection.commit()
        with _alone(settings, connection):
            return _finish(settings, database, connection, progress)


def look(settings: Settings, subject: Subject) -> Scan:
    """What there is of a subject, and where; changes nothing."""
    database = find_serving_store(settings)
    columns = declared_columns(PROJECT_DIR)
    if database.is_made():
        with open_serving_store(settings).connect() as connection:
            columns = _columns(connection)
    with lock_warehouse(settings, "looking for a subject"), landing.locked(settings):
        return scan(settings, [subject], columns)


def _finish(
    settings: Settings,
    database: ServingStore,
    connection: psycopg.Connection,
    progress: Callable[[str], None],
) -> list[ErasureReport]:
    # Once more: another process may have finished some of them.
    pending = erasures.read_erasures(connection, unfinished=True)
    columns = _columns(connection)
    suppressed = erasures.read_suppressed(connection)
    connection.commit()
    named = {Subject(one.kind, one.subject) for one in pending if one.subject is not None}
    subjects = sorted(named)
    if subjects:
        progress("files")
        write_suppressed(settings, suppressed)
        rows = _erase_files(settings, subjects, columns, suppressed)
        progress("the database's files")
        built = erase_built(connection, subjects, columns)
        rewrite_tables(database, {*built, *(name for one in pending for name in one.rows)})
        progress("looking for what is left")
        found = scan(settings, subjects, columns)
        _refuse_rest(found.places)
        for one in pending:
            if one.subject is not None:
                record = _record(one, found, {**one.rows, **rows, **built})
                erasures.note_record(connection, one.number, sign(settings, record))
        connection.commit()
        step("erase.recorded")
    with database.connect(autocommit=True) as apart:
        # The journal has had the ids until now.
        clear_log(apart)
    erasures.note_finished(connection, [one.number for one in pending])
    connection.commit()
    step("erase.finished")
    numbers = {one.number for one in pending}
    done = [one for one in erasures.read_erasures(connection) if one.number in numbers]
    return [ErasureReport(one.number, one.kind, one.rows, one.record or {}) for one in done]


def _erase_files(
    settings: Settings, subjects: Sequence[Subject], columns: IdColumns, suppressed: Suppressed
) -> dict[str, int]:
    rows: Counter[str] = Counter()
    for name, dropped in erase_landed(settings, suppressed).items():
        rows[f"landing: {name}"] = dropped
    step("erase.landing_written")
    rows["rejects"] = erase_rejects(settings, suppressed)
    with open_duckdb() as engine:
        rows["inbox (files)"] = erase_raw_files(engine, settings, subjects, columns)
        for path in sorted(settings.releases_dir.glob("*/r*/*.parquet")):
            place = f"releases: {path.parent.parent.name}.{path.stem}"
            rows[place] += erase_parquet(engine, path, subjects, columns)
        for path in sorted(settings.lake_dir.rglob("*.parquet")):
            rows[f"lake: {path.parent.name}"] += erase_parquet(engine, path, subjects, columns)
    step("erase.files_written")
    for name, deleted in erase_warehouse(settings, subjects, columns).items():
        rows[f"warehouse: {name}"] = deleted
    return dict(+rows)


def _refuse_rest(places: Sequence[Place]) -> None:
    if places:
        names = [place.name for place in places]
        more = f" and {len(names) - SHOWN_PLACES} more" if len(names) > SHOWN_PLACES else ""
        raise ErasureError(
            f"Bytes are left in {', '.join(names[:SHOWN_PLACES])}{more}. No service answers with "
            "them. pollux erasures --finish tries again, as Dagster does every minute."
        )


def _record(erased: Erasure, found: Scan, rows: Mapping[str, int]) -> dict[str, Any]:
    """What is kept of an erasure: nothing that names the subject."""
    return {
        "number": erased.number,
        "kind": erased.kind,
        "subject_sha256": erased.digest.hex(),
        "asked_at": erased.asked_at.isoformat(),
        "proved_at": datetime.now(UTC).isoformat(),
        "pollux": version("pollux"),
        "rows": dict(sorted(rows.items())),
        "scanned": {"files": found.files, "bytes": found.bytes, "tables": found.tables},
        "found": len(found.places),
    }


def _columns(connection: psycopg.Connection) -> dict[str, dict[str, bool]]:
    """The columns of the YAML, and of every release that is kept."""
    columns = declared_columns(PROJECT_DIR)
    for kind, names in columns.items():
        for name, is_own in id_columns(connection, kind).items():
            names[name] = names.get(name, False) or is_own
    return columns


@contextmanager
def _alone(settings: Settings, connection: psycopg.Connection) -> Iterator[None]:
    """Keeps loads, builds and releases out, in the order in which a release takes its locks."""
    with ExitStack() as held:
        domains = {row.domain for row in registry.read_releases(connection)}
        connection.commit()
        for domain in sorted(domains):
            held.enter_context(registry.lock_releases(connection, domain))
        held.enter_context(lock_warehouse(settings, "an erasure"))
        held.enter_context(inbox_locked(settings))
        held.enter_context(landing.locked(settings))
        yield


def read_all(settings: Settings) -> list[tuple[Erasure, bool]]:
    """All erasures, and whether the record of each is as this installation signed it."""
    if not find_serving_store(settings).is_made():
        return []
    with open_serving_store(settings).connect() as connection:
        found = erasures.read_erasures(connection)
    return [(one, one.record is not None and is_genuine(settings, one.record)) for one in found]
