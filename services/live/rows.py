"""The rows of customers in a live mart: what is there already stays.

Belongs here: comparing rows with those of a table, and writing the difference. Does not belong
here: the transaction that they are written in (`repository`).

They are compared as lines of CSV, which PostgreSQL and Arrow read and write.
"""

from collections.abc import AsyncIterator, Sequence

import asyncpg
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pollux.runtime import live
from pollux.runtime.live import FOLLOWED

THERE = """
select ctid::text, {columns} from {schema}.{table} where {key} = any('{{{keys}}}'::bigint[])
"""
DELETE_AT = "delete from {schema}.{table} where ctid = any($1::text[]::tid[])"
WITHOUT_HEADER = csv.WriteOptions(include_header=False)


async def replace_rows(
    connection: asyncpg.Connection,
    domain: str,
    table: str,
    customers: Sequence[int],
    rows: pa.Table,
) -> None:
    """Makes these rows the only ones of their customers and of `customers`.

    Nobody but `customers` has rows in the table, and nobody else changes them meanwhile: the caller
    has locked the domain's row in `live.followed`.
    """
    schema = live.schema_of(domain)
    if not customers:
        text = _csv(rows)
    else:
        have = pc.is_in(rows[FOLLOWED[domain].key], pa.array(customers, pa.int64()))
        wanted = dict.fromkeys(csv_rows(rows.filter(have)))
        there = await _there(connection, domain, table, customers, rows.schema)
        if gone := [place for row, place in there.items() if row not in wanted]:
            await connection.execute(DELETE_AT.format(schema=schema, table=table), gone)
        changed = b"".join(row for row in wanted if row not in there)
        text = changed + _csv(rows.filter(pc.invert(have)))
    if text:
        await connection.copy_to_table(
            table, schema_name=schema, columns=rows.column_names, source=_once(text), format="csv"
        )


async def _there(
    connection: asyncpg.Connection,
    domain: str,
    table: str,
    customers: Sequence[int],
    schema: pa.Schema,
) -> dict[bytes, str]:
    """The rows of customers that are in a table, each with its place, as `csv_rows` gives them."""
    statement = THERE.format(
        columns=", ".join(f'"{name}"' for name in schema.names),
        schema=live.schema_of(domain),
        table=table,
        key=FOLLOWED[domain].key,
        # COPY takes no parameters.
        keys=",".join(map(str, customers)),
    )
    parts: list[bytes] = []

    async def keep(part: bytes) -> None:
        parts.append(part)

    await connection.copy_from_query(statement, output=keep, format="csv")
    if not parts:
        return {}
    text = b"".join(parts)
    found = csv.read_csv(
        pa.py_buffer(text),
        # In one block: a text with line ends is not cut.
        csv.ReadOptions(
            use_threads=False, block_size=len(text) + 1, column_names=["place", *schema.names]
        ),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types={"place": pa.string()}
            | dict(zip(schema.names, schema.types, strict=True)),
            # As PostgreSQL writes them.
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    places = found["place"].to_pylist()
    return dict(zip(csv_rows(found.drop_columns("place")), places, strict=True))


def csv_rows(rows: pa.Table) -> list[bytes]:
    """Rows as PostgreSQL reads them, equal where all values are."""
    found: list[bytes] = []
    row = b""
    for line in _csv(rows).splitlines(keepends=True):
        row += line
        # A text may go on in the next line.
        if row.count(b'"') % 2 == 0:
            found.append(row)
            row = b""
    return found


def _csv(rows: pa.Table) -> bytes:
    written = pa.BufferOutputStream()
    csv.write_csv(rows, written, WITHOUT_HEADER)
    return bytes(written.getvalue().to_pybytes())


async def _once(text: bytes) -> AsyncIterator[bytes]:
    yield text
