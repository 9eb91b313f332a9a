"""Turns a Parquet file into a CSV file of its declared columns, which is then loaded as any CSV.

Belongs here: reading a source file in Parquet. Does not belong here: checks of values; one set of
checks, on text, serves both formats.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestration.load.convert_csv import Binding, bind
from orchestration.load.declarations import Column, Dataset
from orchestration.load.errors import LoadError
from orchestration.scans import identifier, literal, scan_parquet
from pollux.masking import without_values
from pollux.types import EXACT_DOUBLE, EXACT_SINGLE

_SCALAR = re.compile(
    r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN|VARCHAR|JSON|UUID|ENUM.*"
    r'|BLOB|DATE|TIMESTAMP.*|"NULL"'
)
_EXACT = {"FLOAT": EXACT_SINGLE, "DOUBLE": EXACT_DOUBLE}
_ROWS = 65_536


def write_csv(
    connection: duckdb.DuckDBPyConnection, path: Path, name: str, dataset: Dataset, out: Path
) -> tuple[int, Binding]:
    """Write the declared columns as CSV with a header; nulls become blank fields.

    Returns the number of rows in the file's footer, and the columns as bound by name.

    Raises:
        LoadError: when the file is damaged, lacks a column, has one twice or holds one that is not
            a scalar.

    """
    try:
        with pq.ParquetFile(path) as file:
            rows = int(file.metadata.num_rows)
            # DuckDB would rename a duplicate column.
            names = file.schema_arrow.names
            binding = bind(name, names, dataset)
            given = [names[position] for position in binding.positions]
            cut = _cut_by_duckdb(file, given)
        source = scan_parquet([path])
        positions = binding.positions
        if cut:
            # Not passed in memory: DuckDB would import pandas for that.
            exact = out.with_name("exact")
            _write_exact(path, given, cut, exact)
            source = scan_parquet([exact])
            positions = tuple(range(len(given)))
        every = connection.execute(f"DESCRIBE FROM {source}").fetchall()
        described = [every[position][:2] for position in positions]
        texts = [
            f"{identifier(field)} || coalesce({identifier(_rest(field))}, '')"
            if field in cut
            else _text(name, column, field, type_)
            for column, (field, type_) in zip(dataset.columns, described, strict=True)
        ]
        fields = [
            f"coalesce({text}, '') AS {identifier(column.name)}"
            for text, column in zip(texts, dataset.columns, strict=True)
        ]
        connection.execute(
            f"COPY (SELECT {', '.join(fields)} FROM {source}) TO {literal(str(out))} "
            "(FORMAT csv, HEADER, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '')"
        )
    except OSError as error:
        raise LoadError(f"{name} cannot be read: {error}") from error
    except (duckdb.Error, pa.ArrowException, ValueError) as error:
        raise LoadError(
            f"{name} is Parquet that cannot be read: {without_values(str(error))}"
        ) from error
    declared = tuple(range(len(dataset.columns)))
    return rows, Binding(dataset.columns, declared, binding.extra, binding.nulls)


def _text(name: str, column: Column, given: str, type_: str) -> str:
    """The SQL of a column's values as text."""
    if not _SCALAR.fullmatch(type_):
        raise LoadError(f"{name}: column {given} is {type_}, not {column.type}")
    field = identifier(given)
    if type_ == "BLOB":
        return f"decode({field})"
    text = f"{field}::VARCHAR"
    if column.type == "id" and type_ in _EXACT:
        # A float may have lost digits: do not invent them.
        is_exact = f"abs({field}) < {_EXACT[type_]}"
        text = f"CASE WHEN {is_exact} THEN {text} ELSE format('{{:e}}', {field}) END"
    if type_.endswith("TIME ZONE"):
        # DuckDB without its time zone extension writes UTC.
        text = f"regexp_replace({text}, '[+]00$', '')"
    return text


def _cut_by_duckdb(file: pq.ParquetFile, names: Sequence[str]) -> set[str]:
    """Columns that DuckDB truncates: INT96 to the microsecond, long decimals to doubles."""
    leaves = [file.schema.column(i) for i in range(len(file.schema))]
    found = {leaf.path for leaf in leaves if leaf.physical_type == "INT96"}
    found |= {field.name for field in file.schema_arrow if pa.types.is_decimal256(field.type)}
    return found.intersection(names)


def _write_exact(path: Path, names: Sequence[str], cut: set[str], out: Path) -> None:
    """Write the columns as Parquet, those in `cut` as text; then, for each, the digits cut off.

    No scalars: pyarrow imports pandas when it makes the first.
    """
    text = pa.string()
    with pq.ParquetFile(path) as file:
        kinds = [text if n in cut else file.schema_arrow.field(n).type for n in names]
    rests = [pa.field(_rest(name), text) for name in names]
    schema = pa.schema([*map(pa.field, names, kinds), *rests])
    fine = pq.ParquetFile(path)
    coarse = pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
    columns = list(names)
    with fine, coarse, pq.ParquetWriter(out, schema) as writer:
        for exact, rounded in zip(
            fine.iter_batches(_ROWS, columns=columns),
            coarse.iter_batches(_ROWS, columns=columns),
            strict=True,
        ):
            values = [rounded[n].cast(text) if n in cut else exact[n] for n in names]
            lacking = [_nanoseconds(exact[n], rounded[n]) for n in names]
            writer.write_batch(pa.RecordBatch.from_arrays([*values, *lacking], schema=schema))


def _rest(name: str) -> str:
    return f"{name} (the rest)"


def _nanoseconds(exact: pa.Array, rounded: pa.Array) -> pa.Array:
    """Three digits of nanoseconds beyond the microsecond; nulls if nothing was rounded.

    Nanoseconds since 1970 fit 64 bits only from 1677 to 2262. Outside that range they are still
    right modulo 2 ** 64, and so is their difference from the microseconds.
    """
    if exact.type == rounded.type:
        return pa.nulls(len(exact), pa.string())
    rest = pc.subtract(exact, rounded.cast(exact.type, safe=False))
    return pc.utf8_lpad(rest.cast(pa.int64()).cast(pa.string()), width=3, padding="0")
