"""Which rows of a table meet conditions on its columns; Arrow evaluates them, not Python."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pollux.errors import GatewayError, UnknownColumn


def matches(
    table: pa.Table, conditions: Collection[pc.Expression], equal: Mapping[str, Any]
) -> pa.BooleanArray:
    """For every row, whether all conditions hold; a comparison with null does not.

    `equal` maps a column to its value, to None for null, or to a collection of allowed values.
    Raises `UnknownColumn`, or `GatewayError` where types cannot be compared.
    """
    expression = pc.scalar(True)
    for condition in conditions:
        if not isinstance(condition, pc.Expression):
            raise GatewayError(
                f"A condition looks like col('sign_up_date') >= date(2021, 1, 1); this is a "
                f"{type(condition).__name__}. Python functions go to generate_cohort."
            )
        expression &= condition
    for name, value in equal.items():
        expression &= _equal(pc.field(name), value)
    # Not imported above: it loads pandas where that is installed.
    import pyarrow.dataset  # noqa: PLC0415

    try:
        scanner = pyarrow.dataset.dataset(table).scanner(
            columns={"is_met": expression}, use_threads=False
        )
        found = scanner.to_table()["is_met"].combine_chunks()
    except pa.ArrowInvalid as error:
        unknown = re.match(r"No match for FieldRef\.Name\((.*?)\) in", str(error))
        if unknown is None:
            raise GatewayError(f"The condition cannot be evaluated: {error}") from error
        raise UnknownColumn(
            f"There is no column {unknown[1]!r}; there are: {', '.join(table.column_names)}."
        ) from None
    except pa.ArrowNotImplementedError as error:
        raise GatewayError(
            f"The condition compares what cannot be compared: {error}. Columns: "
            f"{', '.join(f'{field.name} {field.type}' for field in table.schema)}."
        ) from None
    if isinstance(found, pa.ChunkedArray):
        found = found.chunk(0) if found.num_chunks else pa.array([], pa.bool_())
    return found.fill_null(False)


def _equal(field: pc.Expression, value: Any) -> pc.Expression:
    if value is None:
        return field.is_null()
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return field.isin(list(value))
    return field == value
