"""Dead letters by hand: what could not be read, and asking for another try.

Belongs here: reading and marking `events.dead_letter` for an operator. Does not belong here: what
becomes a dead letter, and the replay itself, which is a worker's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from pollux.runtime.errors import PolluxError

FOUND = """
select
    id, kind, topic, payload, is_whole, reason, attempts,
    received_at, replay_requested_at, resolved_at
from events.dead_letter
where resolved_at is null or %(with_resolved)s
order by id desc
limit %(limit)s
"""
STATES = """
select id, is_whole, resolved_at is not null
from events.dead_letter
where id = any(%s)
for update
"""
# A cut message cannot be read again.
ASK = """
update events.dead_letter
set replay_requested_at = clock_timestamp()
where resolved_at is null and is_whole and (%(ids)s::bigint[] is null or id = any(%(ids)s))
"""


class DeadLetterError(PolluxError):
    """Dead letters that are not there, or cannot be replayed."""


@dataclass(frozen=True)
class Letter:
    """A message that could not be read; of one that `is_whole` is false the beginning was kept."""

    id: int
    kind: str
    topic: str
    payload: bytes
    is_whole: bool
    reason: str
    attempts: int
    received_at: datetime
    replay_requested_at: datetime | None
    resolved_at: datetime | None

    @property
    def state(self) -> str:
        """What is to become of it, in a word or two."""
        if self.resolved_at is not None:
            return "resolved"
        if not self.is_whole:
            return "cut off"
        return "waits for a worker" if self.replay_requested_at is not None else "open"


def has_events(connection: psycopg.Connection) -> bool:
    """Whether an event service has run with this database."""
    row = connection.execute("select to_regclass('events.dead_letter') is not null").fetchone()
    return row is not None and bool(row[0])


def read_letters(
    connection: psycopg.Connection, *, limit: int, with_resolved: bool = False
) -> list[Letter]:
    """The last dead letters, the newest first."""
    rows = connection.execute(FOUND, {"limit": limit, "with_resolved": with_resolved})
    return [Letter(*row) for row in rows.fetchall()]


def ask_for_replay(connection: psycopg.Connection, ids: Sequence[int] | None) -> int:
    """Asks the workers to read dead letters again, all open ones without `ids`; returns how many.

    Raises `DeadLetterError`, and asks for none, where one of `ids` cannot be replayed.
    """
    with connection.transaction():
        if ids is not None:
            states = {row[0]: row[1:] for row in connection.execute(STATES, [list(ids)]).fetchall()}
            problems = []
            for number in sorted(set(ids)):
                if number not in states:
                    problems.append(f"There is no dead letter {number}.")
                    continue
                is_whole, is_resolved = states[number]
                if is_resolved:
                    problems.append(f"Dead letter {number} is resolved already.")
                elif not is_whole:
                    problems.append(
                        f"Dead letter {number} was too long, only its beginning was kept: it "
                        "cannot be read again."
                    )
            if problems:
                raise DeadLetterError("\n".join(problems))
        asked = connection.execute(ASK, {"ids": None if ids is None else list(ids)})
        return asked.rowcount
