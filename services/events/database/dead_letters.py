"""Dead letters: messages that could not be read, kept in `events.dead_letter` with the reason.

Belongs here: writing and closing them for a worker, listing them and asking for a replay for an
operator. Does not belong here: what becomes a dead letter, and the replay itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import psycopg

from pollux.runtime.erasures import KEPT_OUT
from pollux.runtime.errors import PolluxError
from pollux.subjects import Subject, subjects_in

WRITE = """
insert into events.dead_letter (event_key, kind, topic, payload, is_whole, reason)
values ($1, $2, $3, $4, $5, $6)
on conflict (event_key) do update
set
    attempts = dead_letter.attempts + 1,
    reason = excluded.reason,
    replay_requested_at = null,
    resolved_at = null
"""
RESOLVE = """
update events.dead_letter
set resolved_at = clock_timestamp(), replay_requested_at = null
where event_key = any($1) and resolved_at is null
"""
# Of subjects by kind and id, those who were erased.
ERASED = f"""
select kind, id from unnest($1::text[], $2::text[]) as named (kind, id)
where {KEPT_OUT.format(kind="kind", id="id")}
"""
# How much of an over-long message is kept, for people to look at.
KEPT_BYTES = 64 * 1024

REPLAYS = """
select event_key, kind, topic, payload
from events.dead_letter
where replay_requested_at is not null and resolved_at is null and is_whole and kind = any($1)
order by id
limit 100
"""

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
# A message that was cut cannot be replayed.
ASK = """
update events.dead_letter
set replay_requested_at = clock_timestamp()
where resolved_at is null and is_whole and (%(ids)s::bigint[] is null or id = any(%(ids)s))
"""


class UnreadableMessage(NamedTuple):
    """A message or row that could not be read, and why."""

    event_key: UUID
    kind: str
    topic: str
    payload: bytes
    reason: str


class Replay(NamedTuple):
    """A dead letter to read again."""

    event_key: UUID
    kind: str
    topic: str
    payload: bytes


async def write_dead_letters(
    connection: asyncpg.Connection, messages: Sequence[UnreadableMessage], *, max_bytes: int
) -> None:
    """Keeps unreadable messages; one of more than `max_bytes` is cut, and cannot be replayed.

    Of one that names somebody who was erased, only the reason is kept.
    """
    named = {message.event_key: subjects_in(message.payload) for message in messages}
    erased = await _read_erased(connection, set().union(*named.values()))
    rows = []
    for message in sorted(messages, key=lambda one: one.event_key):
        names_erased = not named[message.event_key].isdisjoint(erased)
        is_whole = len(message.payload) <= max_bytes and not names_erased
        kept = message.payload if is_whole else message.payload[:KEPT_BYTES]
        if names_erased:
            kept = b""
        rows.append(
            (message.event_key, message.kind, message.topic, kept, is_whole, message.reason)
        )
    await connection.executemany(WRITE, rows)


async def _read_erased(
    connection: asyncpg.Connection, subjects: Collection[Subject]
) -> set[Subject]:
    kinds, ids = [one.kind for one in subjects], [one.id for one in subjects]
    return {Subject(*row) for row in await connection.fetch(ERASED, kinds, ids)}


async def resolve(connection: asyncpg.Connection, keys: Sequence[UUID]) -> None:
    """Closes the dead letters of events that were read after all."""
    await connection.execute(RESOLVE, sorted(keys))


async def read_replays(connection: asyncpg.Connection, kinds: Sequence[str]) -> list[Replay]:
    """Dead letters of these kinds whose replay was requested, at most 100."""
    return [Replay(*row) for row in await connection.fetch(REPLAYS, kinds)]


class DeadLetterError(PolluxError):
    """Dead letters that do not exist, or cannot be replayed."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be read; unless `is_whole`, only its beginning was kept."""

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
        """Its state, in a word or two."""
        if self.resolved_at is not None:
            return "resolved"
        if not self.is_whole:
            return "cut off"
        return "waits for a worker" if self.replay_requested_at is not None else "open"


def has_events(connection: psycopg.Connection) -> bool:
    """Whether an event service has run with this database."""
    row = connection.execute("select to_regclass('events.dead_letter') is not null").fetchone()
    return row is not None and bool(row[0])


def read_dead_letters(
    connection: psycopg.Connection, *, limit: int, with_resolved: bool = False
) -> list[DeadLetter]:
    """The last dead letters, the newest first."""
    rows = connection.execute(FOUND, {"limit": limit, "with_resolved": with_resolved})
    return [DeadLetter(*row) for row in rows.fetchall()]


def ask_for_replay(connection: psycopg.Connection, ids: Sequence[int] | None) -> int:
    """Asks the workers to read dead letters again, all open ones without `ids`; returns how many.

    Raises `DeadLetterError`, and asks for none, if one of `ids` cannot be replayed.
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
