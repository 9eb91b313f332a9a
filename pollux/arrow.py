"""Small helpers between Arrow and Python, quick enough for millions of values.

Belongs here: code that knows nothing of customers. All take and return arrays of one chunk.
"""

from array import array
from collections.abc import Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

# The buffers of these types hold values as Python reads them.
PLAIN = {pa.int64(): "q", pa.int32(): "i", pa.int16(): "h", pa.float64(): "d", pa.float32(): "f"}

# Not evaluated: Python 3.11 does not know array's parameter.
Numbers: TypeAlias = "array[int]"
Rows: TypeAlias = "range | array[int]"


def one_chunk(table: pa.Table) -> pa.Table:
    """The table with every column in one chunk, text as plain text."""
    fields = [
        pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
        for f in table.schema
    ]
    schema = pa.schema(fields)
    columns = [_combined(column) for column in table.cast(schema).columns]
    return pa.Table.from_arrays(columns, schema=schema)


def _combined(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def to_list(values: pa.Array) -> list[Any]:
    """The same as `values.to_pylist()`, ten times as fast for columns that repeat themselves."""
    if values.type in PLAIN:
        filled = values.fill_null(0) if values.null_count else values
        found: list[Any] = plain_view(filled).tolist()
        if values.null_count:
            for row in pc.indices_nonzero(values.is_null()).to_pylist():
                found[row] = None
        return found
    encoded = values.dictionary_encode()
    distinct = [*encoded.dictionary.to_pylist(), None]
    indices = encoded.indices.fill_null(len(distinct) - 1)
    return list(map(distinct.__getitem__, plain_view(indices)))


def plain_view(values: pa.Array) -> memoryview:
    """A view of plain numbers without nulls as a sequence of Python's own."""
    code: Any = PLAIN[values.type]
    data = values.buffers()[1]
    if data is None or not len(values):
        return memoryview(array(code))
    whole: memoryview = memoryview(data).cast("B").cast(code)
    return whole[values.offset : values.offset + len(values)]


def sorted_ids(values: pa.Array) -> Sequence[Any]:
    """Ids in a form that `bisect` takes: numbers without a copy, text as a list."""
    return plain_view(values) if values.type in PLAIN else values.to_pylist()


def is_ascending(ids: pa.Array) -> bool:
    """Whether every id is greater than the one before."""
    return bool(pc.all(pc.less(ids[:-1], ids[1:])).as_py() is not False)


def rows_array(rows: Rows) -> pa.Array:
    """Row numbers as an Arrow array, without a copy where they are in memory."""
    numbers = rows if isinstance(rows, array) else array("q", rows)
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def rows_of(numbers: pa.Array) -> Numbers:
    """Row numbers from Arrow's."""
    found = array("q")
    if len(numbers):
        found.frombytes(plain_view(numbers.cast(pa.int64())).cast("B"))
    return found


def pick(values: pa.Array, rows: Rows) -> pa.Array:
    """Values of an array by row; no copy where the rows follow each other."""
    if isinstance(rows, range) and rows.step == 1:
        return values.slice(rows.start, len(rows))
    return values.take(rows_array(rows))


def is_not_descending(ids: pa.ChunkedArray) -> bool:
    """Whether no id is less than the one before."""
    return bool(pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py() is not False)
