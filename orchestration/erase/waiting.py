"""Messages that wait at the own broker for a client who is away: whom they name, taking them out.

Does not belong here: the file in which they are (`pollux.runtime.broker_store`).
"""

import re
from collections.abc import Callable, Sequence

from orchestration.erase.changes import Note
from orchestration.erase.columns import IdColumns
from pollux.runtime import broker_store
from pollux.runtime.broker import is_running
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step
from pollux.subject_patterns import byte_pattern
from pollux.subjects import Subject, subjects_in

# Of an answer, what follows says a coupon's id.
COUPON = b'"coupon":'


def finder(subjects: Sequence[Subject], columns: IdColumns) -> Callable[[bytes], bool]:
    """Whether a message names one of these, as events or answers do, or by a column's name."""
    named = frozenset(subjects)
    patterns = [re.compile(byte_pattern(one, columns[one.kind])) for one in subjects]

    def names_them(payload: bytes) -> bool:
        found = subjects_in(payload.partition(COUPON)[0])
        return not named.isdisjoint(found) or any(one.search(payload) for one in patterns)

    return names_them


def erase_waiting(
    settings: Settings, subjects: Sequence[Subject], columns: IdColumns, note: Note
) -> None:
    """Takes messages out of the own broker's store, if the broker is stopped; first notes rows."""
    store = broker_store.store_of(settings)
    names_them = finder(subjects, columns)
    if not is_running(settings):
        rows = sum(map(names_them, broker_store.read_payloads(store)))
        note({"broker: messages": rows})
        broker_store.drop_messages(store, names_them)
        step("erase.messages_dropped")
