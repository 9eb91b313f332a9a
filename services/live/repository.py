"""What the updater reads and writes in the database.

Belongs here: statements, and the types of what they give. Does not belong here: when they run
(`batches`), and what rows mean, which models define.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg
import pyarrow as pa
import pyarrow.compute as pc

from pollux.runtime import live
from pollux.runtime.erasures import KEPT_OUT
from pollux.runtime.live import FOLLOWED
from pollux.runtime.locks import LockSpace
from services.live import segments
from services.live.rows import replace_rows

ONLY_ONE = f"select pg_try_advisory_lock({LockSpace.LIVE}, 0)"
# As they land: moments in UTC, without a zone.
COLUMNS = {
    "household": (
        "number, event_key::text, line, household_key, basket_id, day, trans_time, store_id, "
        "product_id, quantity, sales_value, retail_disc, coupon_disc, coupon_match_disc, "
        "received_at at time zone 'UTC' as received_at"
    ),
    "store": (
        "number, event_key::text, line, order_id, customer_id, event_at at time zone 'UTC' as "
        "event_at, event_at at time zone $2 as event_shop_time, product_id, coupon_id, "
        "original_price, paid_price, received_at at time zone 'UTC' as received_at"
    ),
}
TYPES = {
    "int8": pa.int64(),
    "int4": pa.int32(),
    "numeric": pa.decimal128(18, 2),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
}
FOLLOW = "select release, number, live_day from live.followed where domain = $1"
# A day is the shop's, where purchases have one.
NEW = """
select
    {key} as key,
    max(number) as number,
    max({day}) as day,
    extract(epoch from clock_timestamp() - min(received_at))::float8 as age
from (
    select * from events.{table} where number > $1 order by number limit $2
) as new
group by 1
order by 2
"""
# Every customer of an order's events: the last one says whose it is.
NEW_ORDERS = """
with new as (
    select {order}, number, received_at
    from events.{table} where number > $1 order by number limit $2
),
orders as (
    select {order}, max(number) as number, min(received_at) as received_at from new group by 1
)
select
    lines.{key} as key,
    max(orders.number) as number,
    null::integer as day,
    extract(epoch from clock_timestamp() - min(orders.received_at))::float8 as age
from orders
inner join events.{table} as lines on orders.{order} = lines.{order}
group by 1
order by 2
"""
BEHIND = """
select {key} as key from {schema}.live_customers
where (release <> $1 or live_day is distinct from $2) and {key} <> all($4)
order by revision
limit $3
"""
# An erasure waits for this transaction, or has been before it; then, nobody else changes live rows
# of the domain.
LOCK = """
lock table erasure.suppressed in access share mode;
select from live.followed where domain = '{domain}' for update
"""
# What holds from then on: a statement that waits for a lock sees other tables as they were before.
LOCKED = """
select
    release,
    number,
    array(select key from unnest($2::bigint[]) as asked (key) where not {is_kept_out}) as kept,
    array(select {key} from {schema}.live_customers where {key} = any($2)) as live,
    nextval('live.revisions') as revision
from live.followed
where domain = $1
"""
STILL = "select release, number from live.followed where domain = $1"
DELETE = "delete from {schema}.live_customers where {key} = any($1)"
# All of it in one round trip.
ENTER = f"""
with
    entered as (
        insert into {{schema}}.live_customers ({{key}}, number, release, live_day, revision)
        select key, number, $3::integer, $4::integer, $5::bigint
        from unnest($1::bigint[], $2::bigint[]) as computed (key, number)
        on conflict ({{key}}) do update
        set
            number = excluded.number,
            release = excluded.release,
            live_day = excluded.live_day,
            revision = excluded.revision,
            computed_at = excluded.computed_at
    ),
    moved as (
        update live.followed set number = $6::bigint, live_day = $4::integer where domain = $7::text
    )
select pg_notify('{live.CHANNEL}', $7::text)
"""


class Position(NamedTuple):
    """Where a domain is: the release, the last row of events in live rows, the last live day."""

    release: int
    number: int
    live_day: int | None


class Purchaser(NamedTuple):
    """A customer whom new rows of events concern.

    The last of them, the last day in them, and how many seconds ago the first was received.
    """

    key: int
    number: int
    day: int | None
    age: float


async def read_position(connection: asyncpg.Connection, domain: str) -> Position | None:
    """Where a domain is; None where its release cannot be answered live."""
    found = await connection.fetchrow(FOLLOW, domain)
    return None if found is None else Position(*found)


async def read_new(
    connection: asyncpg.Connection, domain: str, after: int, limit: int
) -> list[Purchaser]:
    """Whom the next rows of events concern, at most `limit` of them; in the order of `number`.

    Customers of one order may have one number.
    """
    followed = FOLLOWED[domain]
    if followed.order is None:
        statement = NEW.format(key=followed.key, table=followed.table, day="day")
    else:
        names = {"key": followed.key, "table": followed.table, "order": followed.order}
        statement = NEW_ORDERS.format(**names)
    return [Purchaser(*row) for row in await connection.fetch(statement, after, limit)]


async def read_behind(
    connection: asyncpg.Connection,
    domain: str,
    position: Position,
    limit: int,
    besides: Sequence[int] = (),
) -> list[int]:
    """Customers whose rows are of another release or an earlier day than the position's.

    None of `besides` is among them.
    """
    statement = BEHIND.format(key=FOLLOWED[domain].key, schema=live.schema_of(domain))
    rows = await connection.fetch(statement, position.release, position.live_day, limit, [*besides])
    return [row["key"] for row in rows]


async def read_lines(
    connection: asyncpg.Connection, domain: str, keys: Sequence[int], zone: str
) -> pa.Table:
    """All rows of events of these customers and of their orders, in their order, as they land."""
    followed = FOLLOWED[domain]
    columns = COLUMNS[domain]
    table = f"events.{followed.table}"
    theirs = f"{followed.key} = any($1)"
    if followed.order is not None:
        theirs = f"{followed.order} in (select {followed.order} from {table} where {theirs})"
    prepared = await connection.prepare(
        f"select {columns} from {table} where {theirs} order by number"
    )
    zones = (zone,) if "$2" in columns else ()
    rows = await prepared.fetch([*keys], *zones)
    return pa.table(
        {
            attribute.name: pa.array(
                [row[attribute.name] for row in rows], TYPES[attribute.type.name]
            )
            for attribute in prepared.get_attributes()
        }
    )


def lines_of(domain: str, keys: Sequence[int], lines: pa.Table) -> pa.Table:
    """What `read_lines` gives of some of the customers that it was asked for."""
    followed = FOLLOWED[domain]
    theirs = lines.filter(pc.is_in(lines[followed.key], pa.array(keys, pa.int64())))
    if followed.order is None:
        return theirs
    orders = pa.array(theirs[followed.order].to_pylist(), pa.int64())
    return lines.filter(pc.is_in(lines[followed.order], orders))


def last_events(domain: str, keys: Sequence[int], lines: pa.Table) -> dict[int, int]:
    """The last row of events that concerns each customer, from what `read_lines` gives.

    Of an order that was given to another customer that is the other's. 0 where there is none.
    """
    followed = FOLLOWED[domain]
    names = (followed.key, followed.order or followed.key, "number")
    rows = [*zip(*(lines.column(name).to_pylist() for name in names), strict=True)]
    # In the order of their numbers.
    last = {order: number for _, order, number in rows}
    found = dict.fromkeys(keys, 0)
    for key, order, _ in rows:
        if key in found:
            found[key] = max(found[key], last[order])
    return found


async def write(
    connection: asyncpg.Connection,
    domain: str,
    before: Position,
    after: Position,
    numbers: Mapping[int, int],
    marts: Mapping[str, pa.Table],
    segment_topic: str | None = None,
) -> bool:
    """Makes the live rows of customers these, by the last event in them, in one transaction.

    Rows that are there already stay: of a household's hundred a purchase changes a few. Tells on
    `segment_topic`, where there is one, whose segment changed. Writes nothing, and returns False,
    where another release or updater was quicker. Of somebody who was erased meanwhile nothing is
    written.
    """
    followed = FOLLOWED[domain]
    names = {"key": followed.key, "schema": live.schema_of(domain)}
    is_kept_out = KEPT_OUT.format(kind=f"'{followed.kind}'", id="key")
    async with connection.transaction():
        await connection.execute(LOCK.format(domain=domain))
        statement = LOCKED.format(**names, is_kept_out=is_kept_out)
        found = await connection.fetchrow(statement, domain, [*numbers])
        if found is None or (found["release"], found["number"]) != before[:2]:
            return False
        written = {key: numbers[key] for key in found["kept"]}
        if domain == segments.DOMAIN and segment_topic is not None and live.SEGMENTS in marts:
            await segments.tell_computed(
                connection, segment_topic, after.release, written, marts[live.SEGMENTS]
            )
        for table, computed in marts.items():
            rows = computed
            if len(written) < len(numbers):
                rows = rows.filter(pc.is_in(rows[followed.key], pa.array(written, pa.int64())))
            await replace_rows(connection, domain, table, found["live"], rows)
        if erased := [key for key in found["live"] if key not in written]:
            await connection.execute(DELETE.format(**names), erased)
        await connection.execute(
            ENTER.format(**names),
            [*written],
            [*written.values()],
            after.release,
            after.live_day,
            found["revision"],
            after.number,
            domain,
        )
    return True


async def tell_released(
    connection: asyncpg.Connection, domain: str, position: Position, topic: str
) -> bool:
    """Tells of households that the position's release has in another segment than last told.

    Tells nothing, and returns False, where another release or updater was quicker.
    """
    async with connection.transaction():
        await connection.execute(LOCK.format(domain=domain))
        still = await connection.fetchrow(STILL, domain)
        if still is None or tuple(still) != position[:2]:
            return False
        await segments.tell_released(connection, topic, *position[:2])
    return True
