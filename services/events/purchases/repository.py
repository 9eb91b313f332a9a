"""What purchases read and write in the database."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from pollux.runtime.erasures import KEPT_OUT
from pollux.runtime.live import PURCHASES
from pollux.runtime.locks import LockSpace
from services.events.purchases.rows import BasketRow, OrderRow, PurchaseRow

# Until a transaction ends no other takes numbers: an event's rows follow one another, and rows
# appear in their order, so that no part of a basket lands alone. Whoever computes live rows hears
# of it when the transaction ends.
LOCK = f"""
select pg_advisory_xact_lock({LockSpace.PURCHASES}, 0), pg_notify('{PURCHASES}', '')
"""
HANDLED = """
select event_key from events.basket_lines where event_key = any($1)
union
select event_key from events.order_lines where event_key = any($1)
"""
# Of somebody who was erased nothing is written.
INSERT = """
insert into events.{table} (event_key, line, {columns})
select event_key, line, {columns}
from unnest({arrays}) with ordinality as purchased (event_key, line, {columns}, place)
where not {is_kept_out}
order by place
"""
READ = "select {columns} from events.{table} where event_key = $1 order by line"

BASKET_COLUMNS, ORDER_COLUMNS = ", ".join(BasketRow._fields), ", ".join(OrderRow._fields)
INSERT_BASKETS = INSERT.format(
    table="basket_lines",
    columns=BASKET_COLUMNS,
    arrays="$1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], "
    "$7::bigint[], $8::bigint[], $9::bigint[], $10::numeric[], $11::numeric[], $12::numeric[], "
    "$13::numeric[]",
    is_kept_out=KEPT_OUT.format(kind="'household'", id="household_key"),
)
INSERT_ORDERS = INSERT.format(
    table="order_lines",
    columns=ORDER_COLUMNS,
    arrays="$1::uuid[], $2::int[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bigint[], "
    "$7::bigint[], $8::numeric[], $9::numeric[]",
    is_kept_out=KEPT_OUT.format(kind="'customer'", id="customer_id"),
)
READ_BASKET = READ.format(table="basket_lines", columns=BASKET_COLUMNS)
READ_ORDER = READ.format(table="order_lines", columns=ORDER_COLUMNS)


async def lock_numbers(connection: asyncpg.Connection) -> None:
    """Waits for other transactions that write purchases; to be called before the first row."""
    await connection.execute(LOCK)


async def write_purchases(
    connection: asyncpg.Connection, purchases: Sequence[tuple[UUID, Sequence[PurchaseRow]]]
) -> None:
    """Writes the rows of purchases, in their order."""
    for statement, kind in ((INSERT_BASKETS, BasketRow), (INSERT_ORDERS, OrderRow)):
        lines = [
            (key, line, *row)
            for key, rows in purchases
            for line, row in enumerate(rows, start=1)
            if isinstance(row, kind)
        ]
        if lines:
            await connection.execute(statement, *zip(*lines, strict=True))


async def read_purchase_rows(connection: asyncpg.Connection, key: UUID) -> list[PurchaseRow]:
    """What was written of an event; nothing of somebody who was erased."""
    baskets = await connection.fetch(READ_BASKET, key)
    orders = await connection.fetch(READ_ORDER, key)
    return [*(BasketRow(*row) for row in baskets), *(OrderRow(*row) for row in orders)]
