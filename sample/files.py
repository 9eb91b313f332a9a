"""Writing sample files: the only place that knows the formats: raw CSV, Parquet and lines.

Belongs here: a function for each format. Does not belong here: names, columns and rows of files,
which the domains make.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import parquet

from pollux.runtime.duck import open_duckdb
from sample.errors import SampleError


def write_csv(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    """Write batches to a CSV file with a header, in their order; return the rows written.

    Values are never quoted unless they need it, numbers are the shortest that read back the same
    (`0.0`, `-0.6`, `8.49`), lines end in LF. Raises `SampleError` where the file cannot be
    written.
    """
    try:
        path.open("wb").close()
    except OSError as error:
        raise SampleError(f"cannot write {path}: {error.strerror or error}") from error
    with open_duckdb() as connection:
        connection.execute("set preserve_insertion_order = true")
        connection.register("batches", pa.RecordBatchReader.from_batches(schema, batches))
        target = str(path).replace("'", "''")
        try:
            connection.execute(f"copy batches to '{target}' (format csv, header, delimiter ',')")
        except duckdb.IOException as error:
            raise SampleError(f"cannot write {path}: {error}") from error
        counted = connection.fetchone()
    return int(counted[0]) if counted else 0


def write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    """Write batches to a Parquet file, one row group each; return the rows written.

    Raises `SampleError` where the file cannot be written.
    """
    rows = 0
    try:
        with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
    except OSError as error:
        raise SampleError(f"cannot write {path}: {error.strerror or error}") from error
    return rows


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines to a text file, the last one without a line end; return the lines written.

    Raises `SampleError` where the file cannot be written.
    """
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for count, line in enumerate(lines, start=1):
                file.write(f"\n{line}" if count > 1 else line)
    except OSError as error:
        raise SampleError(f"cannot write {path}: {error.strerror or error}") from error
    return count
