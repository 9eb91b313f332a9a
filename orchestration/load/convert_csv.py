"""Turns a CSV file into typed Parquet, by DuckDB in one parallel read.

Belongs here: binding columns by name, and the two reads: `convert_checked`, which lands a file as
given if it can prove that no value changes, and `convert_clean`, for what `screen_csv` wrote.
Does not belong here: single rows.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.load.declarations import Column, Dataset
from orchestration.load.errors import DISK_ERRORS, LandingError, LoadError
from orchestration.load.examine import LONGEST_RECORD, Counts, Header, Watch, count
from orchestration.load.landing import METADATA_KEY
from orchestration.scans import identifier, literal, scan_csv
from pollux.calendar import DAY_ONE
from pollux.masking import told
from pollux.runtime.duck import open_duckdb
from pollux.types import (
    EXACT_DOUBLE,
    FALSE,
    FIRST_DAY,
    FIRST_YEAR,
    INTEGER_DIGITS,
    LABEL_LENGTH,
    LAST_DAY,
    MONEY_DIGITS,
    NUMBER_DIGITS,
    TEXT_LENGTH,
    TRUE,
    TYPES,
    UnfitError,
    read_text,
    visible,
)

MEMORY_LIMIT = "512MiB"

# Longer records, in bytes, need buffers larger than usual.
_COMMON_RECORD = 1 << 20

_CHECKED_TYPES = {"id": "DOUBLE", "integer": "DOUBLE", "money": "DOUBLE", "number": "DOUBLE"}
_INSTANT = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?)?"
)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ":": "colons"}
_MIDNIGHT = "(' 00:00:00', 'T00:00:00')"


@dataclass(frozen=True)
class Binding:
    """The columns of a file in its order, None where a name is not declared.

    `positions` are the positions of the declared columns in the file, in declared order; `nulls`
    are texts that mean null.
    """

    columns: tuple[Column | None, ...]
    positions: tuple[int, ...]
    extra: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()

    @property
    def pairs(self) -> Iterator[tuple[str, Column]]:
        """Field names, c0 for the file's first, with their columns in declared order."""
        for position in self.positions:
            column = self.columns[position]
            if column:
                yield f"c{position}", column


def bind(name: str, names: Sequence[str], dataset: Dataset) -> Binding:
    """Bind a file's column names to the declared ones, ignoring case and invisible characters.

    Raises:
        LoadError: when a declared column is missing or occurs twice.

    """
    shown = [visible(given) for given in names]
    found = [given.lower() for given in shown]
    declared = {column.name.lower(): column for column in dataset.columns}
    missing = [column.name for key, column in declared.items() if key not in found]
    if missing:
        raise LoadError(f"{name} {_why_missing(shown, missing, dataset)}")
    twice = [column.name for key, column in declared.items() if found.count(key) > 1]
    if twice:
        raise LoadError(f"{name} has {_listed(twice)} more than once; keep one")
    extra = tuple(given for given in shown if given.lower() not in declared)
    columns = tuple(declared.get(key) for key in found)
    positions = tuple(found.index(key) for key in declared)
    return Binding(columns, positions, extra, dataset.nulls)


def connect(work: Path) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB with a memory limit; it spills to `work`."""
    return open_duckdb(
        ":memory:",
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(work / "spill"),
            "autoload_known_extensions": "false",
        },
    )


def convert_checked(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    header: Header,
    binding: Binding,
    out: Path,
    metadata: Mapping[str, object],
    watch: Watch,
) -> tuple[Counts, int | None]:
    """Write a CSV file as Parquet, while a thread counts its records independently.

    Returns the counts, and the rows landed: None if any value, count or byte leaves a doubt
    (`out` is then not there). A single column always does: a blank line looks like a null.
    """
    # DuckDB may remove the file of a COPY that failed after it said so: no other is written there.
    attempt = out.with_name("attempt")
    with ThreadPoolExecutor(1) as pool:
        has_ids = any(column is not None and column.type == "id" for column in binding.columns)
        counting = pool.submit(count, path, watch, has_ids=has_ids)
        landed: int | None = None
        if len(binding.columns) > 1 and not header.leading_blank:
            types = [
                _CHECKED_TYPES.get(c.type, "VARCHAR") if c else "VARCHAR" for c in binding.columns
            ]
            wheres = [_check(field, column) for field, column in binding.pairs]
            selects = {column.name: _value(field, column.type) for field, column in binding.pairs}
            query = _copy(
                selects,
                _read(path, types, binding, line_end=header.line_end, header="true"),
                " AND ".join(wheres),
                attempt,
                metadata,
            )
            try:
                landed = _rows(connection, query)
            except duckdb.Error as error:
                _raise_if_disk(error)
        counts = counting.result()
    proven = (
        counts.doubt is None
        and landed == counts.records - 1
        and counts.commas == counts.records * (len(binding.columns) - 1)
    )
    if not proven:
        attempt.unlink(missing_ok=True)
        return counts, None
    attempt.replace(out)
    return counts, landed


def convert_clean(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    binding: Binding,
    out: Path,
    metadata: Mapping[str, object],
    line_end: bytes,
    longest: int,
    parallel: bool = True,
    keep_blank: bool = False,
) -> int:
    """Write a CSV file without header, whose every value is known to fit, as Parquet.

    `longest` is the length of its longest record in bytes; with `keep_blank` a quoted blank
    field is an empty text. Returns the rows landed. `parallel` must be off if a field holds line
    ends: DuckDB's threads may take the text after one for a row.

    Raises:
        LoadError: when DuckDB cannot read it after all.

    """
    types = [column.data_type.duckdb if column else "VARCHAR" for column in binding.columns]
    selects = {column.name: field for field, column in binding.pairs}
    more = {"parallel": str(parallel).lower()}
    if longest > _COMMON_RECORD:
        more["max_line_size"] = str(2 * LONGEST_RECORD)
    if keep_blank:
        more["allow_quoted_nulls"] = "false"
    source = _read(path, types, binding, line_end=line_end, **more)
    try:
        return _rows(connection, _copy(selects, source, "true", out, metadata))
    except duckdb.Error as error:
        _raise_if_disk(error)
        raise LoadError(
            f"rows that passed every check could not be read back: {told(error)}"
        ) from error


def write_empty(dataset: Dataset, out: Path, metadata: Mapping[str, object]) -> None:
    """Write a Parquet file with the dataset's columns and no rows."""
    selects = {c.name: f"NULL::{c.data_type.duckdb}" for c in dataset.columns}
    with open_duckdb(":memory:") as connection:
        _rows(connection, _copy(selects, "(SELECT 1)", "false", out, metadata))


def _why_missing(names: Sequence[str], missing: Sequence[str], dataset: Dataset) -> str:
    """What seems wrong with a file that lacks declared columns, and what to do about it."""
    declared = {column.name.lower() for column in dataset.columns}
    line = ",".join(names).lower()
    if line.startswith(("{", "[")):
        return "is JSON; write it as CSV or Parquet"
    found = line.split(",") if len(names) > 1 else [line]
    if line.startswith("sep="):
        return "begins with a line sep= for Excel; remove it, and save the file with commas"
    if len(found) == 1 and declared <= set(map(str.strip, line.split(","))):
        return "has quotes around whole lines; save it with quotes around single fields"
    for separator, word in _SEPARATORS.items():
        fields = {field.strip(' "') for field in line.split(separator)}
        if len(fields & declared) > len(declared & set(found)):
            return f"has its fields set apart by {word}; save it with commas"
    if not declared & set(found) and len(found) == len(declared) and any(map(_is_number, found)):
        header = ",".join(column.name for column in dataset.columns)
        return f"has no header line; write one above its first line: {header}"
    # A first line with none of the names may be somebody's row.
    is_row = dataset.is_personal and not declared & set(found)
    its = "first line names none of them" if is_row else f"columns are {', '.join(names)}"
    return f"lacks {_listed(missing)} of {dataset.domain}.{dataset.name}; its {its}"


def _is_number(text: str) -> bool:
    try:
        return read_text("number", text) is not None
    except UnfitError:
        return False


def _listed(names: Sequence[str]) -> str:
    return ("column " if len(names) == 1 else "columns ") + ", ".join(names)


def _read(
    path: Path, types: Sequence[str], binding: Binding, *, line_end: bytes, **more: str
) -> str:
    options = {
        "auto_detect": "false",
        "header": "false",
        "delim": "','",
        "quote": "'\"'",
        "escape": "'\"'",
        # Otherwise the first line end found decides, even one within quotes.
        "new_line": "'\\r\\n'" if line_end == b"\r\n" else "'\\n'",
        "columns": "{" + ", ".join(f"c{i}: '{type_}'" for i, type_ in enumerate(types)) + "}",
        **more,
    }
    if binding.nulls:
        options["nullstr"] = "[" + ", ".join(map(literal, ("", *binding.nulls))) + "]"
    return scan_csv(path, options)


def _copy(
    selects: Mapping[str, str], source: str, where: str, out: Path, metadata: Mapping[str, object]
) -> str:
    columns = ", ".join(f"{value} AS {identifier(name)}" for name, value in selects.items())
    note = literal(json.dumps(metadata))
    return (
        f"COPY (SELECT {columns} FROM {source} WHERE {where}) TO {literal(str(out))} "
        f"(FORMAT parquet, KV_METADATA {{{METADATA_KEY}: {note}}})"
    )


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _raise_if_disk(error: duckdb.Error) -> None:
    if any(os.strerror(code) in str(error) for code in DISK_ERRORS):
        raise LandingError(f"the landing zone cannot be written: {told(error)}") from error
    if isinstance(error, (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException)):
        raise LoadError(f"the landing zone cannot be written: {told(error)}") from error


def _check(field: str, column: Column) -> str:
    """A condition that is false where `_value` would change the text, or a rule is broken."""
    whole = f"trunc({field}) = {field}"
    number = f"TRY_CAST({field} AS BIGINT)"
    same = {
        # The byte length costs nothing to read, and is never below the number of characters.
        "text": f"strlen({field}) <= {TEXT_LENGTH}",
        "label": f"strlen({field}) <= {LABEL_LENGTH}",
        "id": f"{whole} AND abs({field}) < {EXACT_DOUBLE}",
        "integer": f"{whole} AND abs({field}) < 1e{INTEGER_DIGITS}",
        # Doubles of this size tell amounts with two decimals from all others.
        "money": f"round({field} * 100) / 100 = {field} AND abs({field}) < 1e{MONEY_DIGITS}",
        "number": f"abs({field}) < 1e{NUMBER_DIGITS}",
        "boolean": f"lower({field}) IN {TRUE} OR lower({field}) IN {FALSE}",
        # The length excludes 'infinity', which DuckDB reads as a date.
        "date": f"{field} IS NULL OR ({field} >= '{FIRST_YEAR}' AND CASE strlen({field}) "
        f"WHEN 10 THEN {_is_day(field)} "
        f"WHEN 19 THEN substr({field}, 11) IN {_MIDNIGHT} AND {_is_day(f'left({field}, 10)')} "
        f"ELSE false END)",
        "day": f"{field} IS NULL OR CASE strlen({field}) "
        f"WHEN 10 THEN {field} >= '{FIRST_YEAR}' AND {_is_day(field)} "
        f"ELSE coalesce({number}::VARCHAR = {field}, false) "
        f"AND {number} BETWEEN {FIRST_DAY} AND {LAST_DAY} END",
        "timestamp": f"{field} IS NULL OR (regexp_full_match({field}, '{_INSTANT}') AND "
        f"{field} >= '{FIRST_YEAR}' AND TRY_CAST({field} AS TIMESTAMP) IS NOT NULL)",
    }[column.type]
    rules = column.rules.conditions(field, is_text=column.data_type.is_text)
    # Cheaper for numbers than testing for null first, with the same result.
    return f"({' AND '.join([f'({same})', *rules])}) IS NOT FALSE"


def _is_day(field: str) -> str:
    return f"coalesce(TRY_CAST({field} AS DATE)::VARCHAR = {field}, false)"


def _value(field: str, type_: str) -> str:
    if type_ == "boolean":
        return f"CASE WHEN {field} IS NOT NULL THEN lower({field}) IN {TRUE} END"
    if type_ == "day":
        return (
            f"CASE strlen({field}) WHEN 10 THEN date_diff('day', DATE '{DAY_ONE}', "
            f"TRY_CAST({field} AS DATE)) + 1 ELSE TRY_CAST({field} AS BIGINT) END"
        )
    return f"CAST({field} AS {TYPES[type_].duckdb})"
