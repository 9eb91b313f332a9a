"""Live rows as they are written: what is there already stays, whatever the values."""

import asyncio
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.events.database.connection import connect_to_write
from services.live.rows import replace_rows

pytestmark = pytest.mark.integration

TABLE = """
create table household__live.odd (
    household_key bigint, note text, paid numeric(18, 2), share double precision, day date,
    is_new boolean, items integer
)
"""
SCHEMA = pa.schema(
    [
        ("household_key", pa.int64()),
        ("note", pa.string()),
        ("paid", pa.decimal128(18, 2)),
        ("share", pa.float64()),
        ("day", pa.date32()),
        ("is_new", pa.bool_()),
        ("items", pa.int32()),
    ]
)
ROWS: list[tuple[Any, ...]] = [
    (1, None, None, None, None, None, None),
    (1, "", Decimal("0.00"), 0.0, date(2004, 3, 23), False, 0),
    (1, 'a "quoted", comma', Decimal("-1234567890123456.78"), 1e-7, date(9999, 12, 31), True, -1),
    (1, 'line\nends\r\nand "\n', Decimal("0.10"), 0.1 + 0.2, date(1, 1, 1), None, 2**31 - 1),
    (2, "\\.", Decimal("1.50"), 1e22, None, True, None),
    (2, "\\N", Decimal("1.50"), -0.0, None, True, None),
    (2, "ß \t é", None, 5e-324, None, True, None),
    (3, "NULL", None, float("inf"), None, True, None),
    (3, "a\n\\.\nb", None, None, None, None, None),
]


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = [*zip(*rows, strict=True)] or [()] * len(SCHEMA)
    return pa.table([pa.array(column) for column in columns], SCHEMA.names).cast(SCHEMA)


def test_rows_are_written_as_they_are_and_only_those_that_changed(
    store: tuple[Settings, ServingStore], owner: psycopg.Connection
) -> None:
    owner.execute(TABLE)

    def write(rows: list[tuple[Any, ...]], customers: list[int]) -> None:
        async def work() -> None:
            connection = await connect_to_write(store[1], {})
            try:
                await replace_rows(connection, "household", "odd", customers, table_of(rows))
            finally:
                connection.terminate()

        asyncio.run(work())

    def there() -> dict[tuple[Any, ...], str]:
        found = owner.execute("select *, ctid::text from household__live.odd").fetchall()
        return {tuple(row[:-1]): row[-1] for row in found}

    owner.execute(f"grant all on household__live.odd to {store[1].events_role}")
    write(ROWS[:7], [])
    write(ROWS, [1, 2])
    before = there()
    assert before.keys() == {*ROWS}
    write(ROWS, [1, 2, 3])
    assert there() == before

    changed = (2, "ß \t é", Decimal("0.01"), 5e-324, None, True, None)
    write([changed, *ROWS[4:6]], [2])
    after = there()
    assert after.keys() - before.keys() == {changed}
    assert before.keys() - after.keys() == {ROWS[6]}
    assert all(before[row] == place for row, place in after.items() if row != changed)

    write(ROWS[7:], [1, 3])
    assert there().keys() == {changed, *ROWS[4:6], *ROWS[7:]}
