"""Values that a program hands to the gateway, read by the table of types.

Belongs here: scalars of NumPy, pandas and Arrow besides Python's own, and which type of the table
a column of Arrow has. Does not belong here: spellings, ranges and reasons (`pollux.types`).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pollux.types import EXACT_SINGLE, UnfitError, read_decimal, read_scalar

TYPES: Mapping[pa.DataType, str] = {
    pa.int64(): "id",
    pa.int32(): "integer",
    pa.float64(): "number",
    pa.bool_(): "boolean",
    pa.string(): "text",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
}


def read_id(value: object) -> int | None:
    """The id that a scalar stands for; raises `UnfitError` as `read_scalar` does."""
    found = read_scalar("id", _plain(value))
    assert found is None or isinstance(found, int)  # noqa: S101 - what an id is
    return found


def read_for(column: pa.DataType, value: object) -> Any:
    """The value of a column's type that a scalar stands for, None for null or a blank.

    Raises `UnfitError`. A type that is not in the table takes its values as they are.
    """
    if column in TYPES:
        return read_scalar(TYPES[column], _plain(value))
    if not pa.types.is_decimal(column):
        return value
    found = read_decimal(_plain(value))
    if found is not None and found != round(found, column.scale):
        raise UnfitError(f"more than {column.scale} decimals")
    return found


def _plain(value: object) -> object:
    """A scalar of NumPy or Arrow as one of Python's own, or as its text."""
    if isinstance(value, pa.Scalar):
        return value.as_py()
    if isinstance(value, str | int | float | Decimal) or getattr(value, "shape", None) != ():
        return value
    if str(value.dtype) == "float32":  # type: ignore[attr-defined]
        whole = float(value)  # type: ignore[arg-type]
        if whole.is_integer():
            # Above that it may have lost digits; none are made up.
            return whole if abs(whole) < EXACT_SINGLE else f"{whole:e}"
    return str(value)
