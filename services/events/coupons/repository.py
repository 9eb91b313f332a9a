"""What a group of entry and focus events writes, in one transaction.

Belongs here: the statements. Does not belong here: what an event leads to.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, NamedTuple
from uuid import UUID

import asyncpg

from pollux.runtime.erasures import KEPT_OUT
from services.events.coupons.offers import PreparedOffers
from services.events.database.inbox import INSERT_NEW
from services.events.database.outbox import (
    COLUMNS,
    INSERT,
    LEASE,
    EventAnswer,
    answer_columns,
)

Outcome = Literal["prepared", "offer", "no offer"]


class Decision(NamedTuple):
    """A row of `events.decisions`."""

    event_key: UUID
    kind: str
    customer_id: int
    department: str | None
    event_at: datetime
    event_date: date
    outcome: Outcome
    reason: str | None
    coupon_id: int | None
    prediction: float | None
    answer_id: UUID | None
    release: int | None
    model: str | None
    threshold: float | None


DECISION_COLUMNS = ", ".join(Decision._fields)
# For a repeated event, or one of somebody who was erased, nothing is written and nothing answered.
WRITE = f"""
with
    arrived as ({INSERT_NEW}),
    decided as (
        insert into events.decisions ({DECISION_COLUMNS})
        select event.*
        from
            unnest(
                $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::timestamptz[], $7::date[],
                $8::text[], $9::text[], $10::bigint[], $11::float8[], $12::uuid[], $13::int[],
                $14::text[], $15::float8[]
            ) as event ({DECISION_COLUMNS})
        inner join arrived using (event_key)
        where not {KEPT_OUT.format(kind="'customer'", id="event.customer_id")}
        on conflict do nothing
        returning event_key
    ),
    queued as (
        {INSERT}
        select answer.*, {LEASE}
        from
            unnest(
                $16::uuid[], $17::uuid[], $18::text[], $19::bytea[], $20::uuid[], $21::bytea[],
                $22::text[], $23::bytea[]
            ) as answer ({COLUMNS})
        inner join decided using (event_key)
    )
select event_key from decided
"""
READ = f"select {DECISION_COLUMNS} from events.decisions where event_key = $1"
# Entries, which offer nothing, are passed over; among very many, no further than this.
LATEST = """
select
    event_key, outcome, reason, customer_id, department, event_at as at, decided_at, coupon_id,
    prediction as likelihood, threshold, release, model
from (select * from events.decisions order by number desc limit 10000) as latest
where kind = 'focus'
order by number desc
limit $1
"""
PREPARED = f"""
insert into events.contexts (
    customer_id, event_date, release, model, threshold, choices, revision
)
select customer_id, event_date, release, model, threshold, cast(choices as jsonb), revision
from
    unnest(
        $1::bigint[], $2::date[], $3::int[], $4::text[], $5::float8[], $6::text[], $7::bigint[]
    ) as context (customer_id, event_date, release, model, threshold, choices, revision)
where not {KEPT_OUT.format(kind="'customer'", id="context.customer_id")}
on conflict (customer_id) do update
set
    event_date = excluded.event_date,
    release = excluded.release,
    model = excluded.model,
    threshold = excluded.threshold,
    choices = excluded.choices,
    revision = excluded.revision,
    prepared_at = clock_timestamp()
"""


async def write_decisions(
    connection: asyncpg.Connection,
    worker: str,
    decisions: Sequence[Decision],
    answers: Sequence[tuple[UUID, EventAnswer]],
) -> set[UUID]:
    """Writes decisions and their answers; returns the keys of the events that were new."""
    # In the same order in all workers, so that they do not deadlock.
    columns = list(zip(*sorted(decisions, key=lambda one: one.event_key), strict=True))
    arrays = answer_columns(answers)
    rows = await connection.fetch(WRITE, worker, *columns, *arrays)
    return {row[0] for row in rows}


async def read_decision(connection: asyncpg.Connection, key: UUID) -> Decision | None:
    """What was decided for an event, or None if nothing was."""
    row = await connection.fetchrow(READ, key)
    return None if row is None else Decision(*row)


async def read_latest_offers(connection: asyncpg.Connection, limit: int) -> list[asyncpg.Record]:
    """What was decided for the latest focus events and requests, the newest first."""
    return list(await connection.fetch(LATEST, limit))


async def write_prepared_offers(
    connection: asyncpg.Connection, prepared: Sequence[PreparedOffers]
) -> None:
    """Keeps prepared offers; of several for a customer, the last."""
    last = {one.customer_id: one for one in prepared}
    rows = [
        (
            customer,
            context.event_date,
            *context.basis,
            context.threshold,
            context.choices,
            context.revision,
        )
        for customer, context in sorted(last.items())
    ]
    await connection.execute(PREPARED, *zip(*rows, strict=True))
