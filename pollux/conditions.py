"""Which rows of a table meet conditions on its columns; Arrow evaluates them, not Python."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pollux.errors import GatewayError, UnknownColumn
from pollux.names import asked_for, no_such_name, spellings
from pollux.types import UnfitError
from pollux.values import read_for


def matches(
    table: pa.Table,
    conditions: Collection[pc.Expression],
    equal: Mapping[str, Any],
    names: Callable[[str], Sequence[str]],
) -> pa.BooleanArray:
    """For every row, whether all conditions hold; a comparison with null does not.

    `equal` maps a column to its value in any spelling, to None for null, or to a collection of
    allowed values. `names` lists the texts of a column in the release, none if they are too many.
    Raises `UnknownColumn`, or `GatewayError` for what cannot be compared or is not among the names.
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
        expression &= _equal(table, name, value, names)
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


def _equal(
    table: pa.Table, name: str, value: Any, names: Callable[[str], Sequence[str]]
) -> pc.Expression:
    field = pc.field(name)
    if value is None:
        return field.is_null()
    if isinstance(value, pc.Expression) or name not in table.column_names:
        return field == value
    is_one = isinstance(value, str | bytes) or not isinstance(value, Collection)
    kind = table.schema.field(name).type
    wanted: list[Any] = []
    for one in [value] if is_one else value:
        try:
            read = read_for(kind, one)
        except UnfitError as error:
            raise GatewayError(f"{name} cannot be {one!r}: {error}.") from None
        if isinstance(read, str):
            wanted += _meant(table[name], name, read, names)
        else:
            wanted.append(read)
    found = pa.array(wanted, kind)
    # Of a single value, a comparison is several times as fast.
    if len(found) == 1 and found[0].is_valid:
        return field == found[0]
    return field.isin(found)


def _meant(
    column: pa.ChunkedArray, name: str, text: str, names: Callable[[str], Sequence[str]]
) -> list[str]:
    """The texts of a column that a text means; raises `GatewayError` if it is not a known name."""
    asked = asked_for(name, text)
    # Nearly always; other spellings are tried only if nothing is found as it was asked for.
    if pc.index(column, asked).as_py() >= 0:
        return [asked]
    known = names(name)
    found = spellings(asked, known)
    if known and not found:
        raise GatewayError(no_such_name(name, asked, known))
    return found or [asked]
