"""The cool-down: a coupon is not offered to the same customer again for a while.

Belongs here: finding offers in `events.decisions`, and which of new ones must wait. Does not belong
here: what becomes of those.

What counts is the time of the events, so the outcome does not depend on how long a message waited.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from pollux.runtime.locks import LockSpace
from services.events.coupons.repository import Decision

# Until its transaction ends, no other worker decides for these customers.
LOCK = f"""
select pg_advisory_xact_lock({LockSpace.COOLDOWN}, place)
from (
    select distinct hashint8(customer_id) as place
    from unnest($1::bigint[]) as customer (customer_id)
    order by place
) as customer
"""
OFFERED = """
select customer_id, coupon_id, decisions.event_at, event_key
from unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) as offer (customer_id, coupon_id, at)
inner join events.decisions using (customer_id, coupon_id)
where
    decisions.outcome = 'offer'
    and decisions.event_at > offer.at - $4::interval
    and decisions.event_at < offer.at + $4::interval
"""

Offered = Mapping[tuple[int, int], Sequence[tuple[datetime, UUID]]]


async def lock_customers(connection: asyncpg.Connection, offers: Sequence[Decision]) -> None:
    """Makes other workers wait with these customers until the transaction ends."""
    await connection.execute(LOCK, [one.customer_id for one in offers])


async def find_held_back(
    connection: asyncpg.Connection, offers: Sequence[Decision], cooldown: timedelta
) -> set[UUID]:
    """The keys of the offers that come too soon after, or before, one that is recorded."""
    places = [(one.customer_id, one.coupon_id, one.event_at) for one in offers]
    offered: dict[tuple[int, int], list[tuple[datetime, UUID]]] = {}
    for customer, coupon, at, key in await connection.fetch(
        OFFERED, *zip(*places, strict=True), cooldown
    ):
        offered.setdefault((customer, coupon), []).append((at, key))
    return held_back(offers, offered, cooldown)


def held_back(offers: Iterable[Decision], offered: Offered, cooldown: timedelta) -> set[UUID]:
    """The keys of the offers that come too soon after, or before, one of the same coupon.

    Each offer that is not held back counts for those that follow.
    """
    times = {place: list(found) for place, found in offered.items()}
    held: set[UUID] = set()
    for one in offers:
        assert one.coupon_id is not None  # noqa: S101 - what an offer is
        others = times.setdefault((one.customer_id, one.coupon_id), [])
        if any(abs(at - one.event_at) < cooldown and key != one.event_key for at, key in others):
            held.add(one.event_key)
        else:
            others.append((one.event_at, one.event_key))
    return held


def without_offer(decision: Decision, cooldown: timedelta) -> Decision:
    """The decision of an offer that was held back."""
    minutes = f"{cooldown / timedelta(minutes=1):g}"
    return decision._replace(
        outcome="no offer",
        reason=f"coupon {decision.coupon_id} was offered within {minutes} min",
        coupon_id=None,
    )
