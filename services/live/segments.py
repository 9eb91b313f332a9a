"""Telling of households whose segment changed: a message in the outbox of the event service.

Belongs here: which segment a household was last told to be in, and what the message says. Does not
belong here: what a segment is, which models define, and sending (`services.events.broker`).

The messages of a household make a chain: each begins with the segment that the one before ended
with, the first with the release's. So nothing is told twice, however often rows are computed.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
import orjson
import pyarrow as pa

from pollux.runtime.live import SEGMENTED, SEGMENTS, schema_of
from services.events.database.outbox import EventAnswer, leave_answers

DOMAIN = "household"

CHANGE = """
insert into events.segment_changes (
    household_key, segment_before, segment, cause, why, event_key, release, answer_id
)
select household_key, segment_before, segment, cause, why, event_key, $1, gen_random_uuid()
from ({compared}) as compared
where segment_before is distinct from segment
order by event
returning
    answer_id, number, household_key, segment_before, segment, cause, why, event_key, release,
    changed_at
"""
COMPUTED = f"""
select
    computed.household_key,
    case when told.number is null then released.segment else told.segment end as segment_before,
    computed.segment,
    case
        when customers.number is null or customers.number < computed.event then 'purchase'
        when customers.release <> $1 then 'release'
        else 'day'
    end as cause,
    computed.why,
    lines.event_key,
    computed.event
from
    unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[])
    as computed (household_key, event, segment, why)
left join {schema_of(DOMAIN)}.live_customers as customers using (household_key)
left join {{released}} as released using (household_key)
left join events.basket_lines as lines on computed.event = lines.number
left join lateral (
    select changes.number, changes.segment
    from events.segment_changes as changes
    where changes.household_key = computed.household_key
    order by changes.number desc
    limit 1
) as told on true
"""
# Who has live rows, or will have, is told of when they are computed.
RELEASED = f"""
select
    household_key,
    told.segment as segment_before,
    released.segment,
    'release' as cause,
    released.why,
    null::uuid as event_key,
    household_key as event
from (
    select distinct on (household_key) household_key, segment
    from events.segment_changes
    order by household_key, number desc
) as told
left join {{released}} as released using (household_key)
where
    not exists (
        select from {schema_of(DOMAIN)}.live_customers as customers
        where customers.household_key = told.household_key
    )
    and not exists (
        select from events.basket_lines as lines
        where lines.household_key = told.household_key and lines.number > $2
    )
"""


async def tell_computed(
    connection: asyncpg.Connection,
    topic: str,
    release: int,
    numbers: Mapping[int, int],
    rows: pa.Table,
) -> None:
    """Tells who among these, by the last event in them, is in another segment than told.

    `rows` are those of the mart, computed on `release`; who has none is in no segment. To be called
    before their live rows are replaced, within that transaction.
    """
    columns = (rows[name].to_pylist() for name in ("household_key", "segment", "why"))
    found = {key: (segment, why) for key, segment, why in zip(*columns, strict=True)}
    segments = [found.get(key, (None, None)) for key in numbers]
    await _tell(
        connection,
        topic,
        COMPUTED,
        release,
        [*numbers],
        [*numbers.values()],
        [segment for segment, _ in segments],
        [why for _, why in segments],
    )


async def tell_released(
    connection: asyncpg.Connection, topic: str, release: int, number: int
) -> None:
    """Tells whom a release, which holds all their events, has in another segment than told.

    `number` is the last row of events that live rows or the release have. To be called while the
    release is held to be the current one.
    """
    if await connection.fetchval(SEGMENTED) is not None:
        await _tell(connection, topic, RELEASED, release, number)


async def _tell(
    connection: asyncpg.Connection, topic: str, compared: str, release: int, *arguments: object
) -> None:
    released = f"{DOMAIN}__r{release}.{SEGMENTS}"
    statement = CHANGE.format(compared=compared.format(released=released))
    changes = await connection.fetch(statement, release, *arguments)
    await leave_answers(connection, _messages(topic, changes))


def _messages(topic: str, changes: Sequence[asyncpg.Record]) -> list[tuple[UUID, EventAnswer]]:
    return [
        (
            one["event_key"] or one["answer_id"],
            EventAnswer(one["answer_id"], topic, orjson.dumps(_document(one))),
        )
        for one in sorted(changes, key=lambda one: one["number"])
    ]


def _document(change: asyncpg.Record) -> dict[str, object]:
    return {
        "number": change["number"],
        "household_key": change["household_key"],
        "from": change["segment_before"],
        "to": change["segment"],
        "cause": change["cause"],
        "why": change["why"],
        "event_key": change["event_key"] and str(change["event_key"]),
        "release": change["release"],
        "at": change["changed_at"].isoformat().replace("+00:00", "Z"),
    }
