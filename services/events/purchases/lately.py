"""Purchases of the last hour by minute, and which of them are not in live rows yet.

Belongs here: what is counted, and from where on. Does not belong here: taking purchases
(`handler`), and computing live rows (`services.live`).

What was counted once is kept in memory, so that a look reads only what came since the last one.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import asyncpg

from pollux.runtime.live import FOLLOWED
from pollux.runtime.locks import LockSpace
from services.events.database.connection import DatabaseWriter

HOUR = timedelta(hours=1)
# Lines that one look reads, the newest; and those among which purchases that wait are counted.
MOST_LINES = 20_000
VALUES = {"household": "sales_value", "store": "paid_price"}
# A purchase is counted by its first line.
NEW = """
select
    date_trunc('minute', received_at) as minute,
    count(*) filter (where line = 1) as purchases,
    sum(value) as value,
    count(*) as lines,
    min(received_at) as since,
    max(number) as number
from (
    select number, line, {value} as value, received_at
    from events.{table}
    where number > $1
    order by number desc
    limit $2
) as new
group by 1
order by 1
"""
STATE = """
select
    coalesce((select max(number) from events.{table}), 0) as last,
    waiting.purchases as waiting,
    case when followed.domain is not null then
        greatest(coalesce(extract(epoch from clock_timestamp() - waiting.since), 0), 0)::float8
    end as waiting_seconds
from (select) as one
left join live.followed on followed.domain = $1
left join lateral (
    select count(*) filter (where line = 1) as purchases, min(received_at) as since
    from (
        select line, received_at
        from events.{table}
        where number > followed.number
        order by number
        limit $2
    ) as next
) as waiting on followed.domain is not null
"""
# The clock is that of received_at. A process that computes holds the lock.
MOMENT = f"""
select
    clock_timestamp() as at,
    exists (
        select from pg_locks
        where
            locktype = 'advisory'
            and classid = {LockSpace.LIVE}
            and objid = 0
            and granted
            and database = (select oid from pg_database where datname = current_database())
    ) as is_computed
"""


class Minute(NamedTuple):
    """Purchases that were received in a minute, and their lines' values together."""

    minute: datetime
    purchases: int
    value: Decimal


class Lately(NamedTuple):
    """Purchases of a domain since `since`, an hour ago at most, by minute, without empty ones.

    Of those that live rows do not have yet `waiting` is the number, `waiting_seconds` how long the
    first has waited; both are None where the release cannot be answered live.
    """

    domain: str
    since: datetime
    minutes: Sequence[Minute]
    waiting: int | None
    waiting_seconds: float | None


class Look(NamedTuple):
    """What was found at a moment: whether any process computes live rows, and each domain's."""

    at: datetime
    is_computed: bool
    domains: Sequence[Lately]


class PurchasesLately:
    """Counts purchases as they are on disk, whoever took them."""

    def __init__(self, writer: DatabaseWriter) -> None:
        self._writer = writer
        self._counts = {domain: _Counts() for domain in FOLLOWED}
        self._lock = asyncio.Lock()

    async def look(self) -> Look:
        """The purchases of each domain, and whether any process computes live rows."""
        async with self._lock:
            moment = await self._writer.retry(lambda connection: connection.fetchrow(MOMENT))
            domains = [await self._look(domain, moment["at"]) for domain in FOLLOWED]
        return Look(moment["at"], moment["is_computed"], domains)

    async def _look(self, domain: str, at: datetime) -> Lately:
        counts = self._counts[domain]
        names = {"table": FOLLOWED[domain].table, "value": VALUES[domain]}

        async def read(
            connection: asyncpg.Connection,
        ) -> tuple[asyncpg.Record, list[asyncpg.Record]]:
            state = await connection.fetchrow(STATE.format(**names), domain, MOST_LINES)
            if state["last"] < counts.number:
                # The database is another, or one of before.
                counts.forget()
            new = await connection.fetch(NEW.format(**names), counts.number, MOST_LINES)
            return state, new

        state, new = await self._writer.retry(read)
        oldest = (at - HOUR).replace(second=0, microsecond=0)
        counts.add(new, oldest)
        return Lately(
            domain,
            max(counts.since or oldest, oldest),
            [counts.minutes[one] for one in sorted(counts.minutes)],
            state["waiting"],
            state["waiting_seconds"],
        )


class _Counts:
    """What was counted of a domain, up to the line of this number."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.number = 0
        self.minutes: dict[datetime, Minute] = {}
        # From when on all are counted, where that is not an hour.
        self.since: datetime | None = None

    def add(self, new: Sequence[asyncpg.Record], oldest: datetime) -> None:
        if sum(row["lines"] for row in new) == MOST_LINES:
            # There were more.
            self.minutes = {}
            self.since = min(row["since"] for row in new)
        for row in new:
            before = self.minutes.get(row["minute"], Minute(row["minute"], 0, Decimal(0)))
            self.minutes[row["minute"]] = Minute(
                row["minute"], before.purchases + row["purchases"], before.value + row["value"]
            )
            self.number = max(self.number, row["number"])
        self.minutes = {at: one for at, one in self.minutes.items() if at >= oldest}
