"""`erase`: takes a subject out of everything the installation keeps, and keeps them out.

Belongs here: the order of the steps, the locks, the report. The steps are in the other modules.

First one transaction, after which no service answers with the subject
(`pollux.runtime.erasures.erase`). It also enters the erasure in a journal; from then on any call
of `finish` does the rest, however often it is interrupted: every step looks for what is left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import psycopg

from orchestration.erase.columns import declared_columns
from orchestration.erase.database import clear_log, erase_built, rewrite_tables
from orchestration.erase.files import erase_files
from orchestration.erase.record import is_genuine, sign
from orchestration.erase.scan import Place, Scan, scan
from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.load.inbox import locked as inbox_locked
from orchestration.load.suppression import write_suppressed
from orchestration.release import registry
from pollux.runtime import broker_store, erasures
from pollux.runtime.erasures import Erasure
from pollux.runtime.errors import PolluxError
from pollux.runtime.serving import ServingStore, find_serving_store, open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.runtime.steps import step
from pollux.runtime.subject_rows import id_columns
from pollux.runtime.warehouse import lock_warehouse
from pollux.subjects import Subject

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
    finish(settings, progress)
    with open_serving_store(settings).connect() as connection:
        # Another process may have finished it first.
        done = [one for one in erasures.read_erasures(connection) if one.number == erased.number]
    return _report(done[0])


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
    orders = erasures.read_orders(connection)
    connection.commit()
    named = {Subject(one.kind, one.subject) for one in pending if one.subject is not None}
    subjects = sorted(named)
    if subjects:
        progress("files")
        write_suppressed(settings, suppressed)
        unproved = [one.number for one in pending if one.subject is not None]

        def note(rows: Mapping[str, int]) -> None:
            with connection.transaction():
                for number in unproved:
                    erasures.note_rows(connection, number, rows)

        erase_files(settings, subjects, columns, suppressed, orders, note)
        progress("the database's files")
        erase_built(connection, subjects, columns, note)
        # Again, with the rows that were noted, by a process that was killed, too.
        pending = erasures.read_erasures(connection, unfinished=True)
        connection.commit()
        touched = {name for one in pending for name in one.rows}
        rewrite_tables(database, touched, subjects, columns)
        progress("looking for what is left")
        found = scan(settings, subjects, columns)
        if any("/pg_wal/" in place.name for place in found.places):
            # The journal has the ids until now: a page of it may have been logged meanwhile.
            with database.connect(autocommit=True) as apart:
                clear_log(apart)
            found = scan(settings, subjects, columns)
        _refuse_rest(settings, found.places)
        for one in pending:
            if one.number in unproved:
                record = sign(settings, _record(one, found))
                erasures.note_record(connection, one.number, record)
        connection.commit()
        step("erase.recorded")
    with database.connect(autocommit=True) as apart:
        # The journal has had the ids until now.
        clear_log(apart)
    erasures.note_finished(connection, [one.number for one in pending])
    erasures.forget_orders(connection, orders)
    connection.commit()
    step("erase.finished")
    numbers = {one.number for one in pending}
    return [_report(one) for one in erasures.read_erasures(connection) if one.number in numbers]


def _report(erased: Erasure) -> ErasureReport:
    return ErasureReport(erased.number, erased.kind, erased.rows, erased.record or {})


def _refuse_rest(settings: Settings, places: Sequence[Place]) -> None:
    store = str(broker_store.store_of(settings).relative_to(settings.data_dir))
    if places and {place.name for place in places} == {store}:
        raise ErasureError(
            f"Messages in {store} wait for a client who is away. They go when it fetches them; or "
            "stop the broker with pollux down, and let pollux erasures --finish take them out."
        )
    if places:
        names = [place.name for place in places]
        more = f" and {len(names) - SHOWN_PLACES} more" if len(names) > SHOWN_PLACES else ""
        raise ErasureError(
            f"Bytes are left in {', '.join(names[:SHOWN_PLACES])}{more}. No service answers with "
            "them. pollux erasures --finish tries again, as Dagster does every minute."
        )


def _record(erased: Erasure, found: Scan) -> dict[str, Any]:
    """What is kept of an erasure: nothing that names the subject."""
    return {
        "number": erased.number,
        "kind": erased.kind,
        "subject_sha256": erased.digest.hex(),
        "asked_at": erased.asked_at.isoformat(),
        "proved_at": datetime.now(UTC).isoformat(),
        "pollux": version("pollux"),
        "rows": dict(sorted(erased.rows.items())),
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
        # Also of a domain whose first release is under way.
        datasets = read_datasets(PROJECT_DIR).values()
        domains = {domain for one in datasets for domain in one.feeds or (one.domain,)}
        domains |= {row.domain for row in registry.read_releases(connection)}
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
