"""A Parquet file to a CSV file of its declared columns, which then goes the way of every CSV.

Belongs here: reading a given Parquet file. Does not belong here: checks of values; one set of
checks, on text, serves both formats.
"""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from orchestration.load.convert_csv import Binding, bind
from orchestration.load.declarations import Dataset
from orchestration.load.errors import LoadError
from orchestration.scans import identifier, literal, scan_parquet

_NOT_SCALAR = ("STRUCT", "BLOB", "BIT", "INTERVAL", "MAP", "UNION")


def write_csv(
    connection: duckdb.DuckDBPyConnection, path: Path, name: str, dataset: Dataset, out: Path
) -> tuple[int, Binding]:
    """Write the declared columns as CSV with a header; nulls become blank fields.

    Returns the rows that the file's own footer states, and the columns as bound by name.

    Raises:
        LoadError: when the file is damaged, lacks a column or holds one that is not a scalar.

    """
    try:
        rows = int(pq.read_metadata(path).num_rows)
        source = scan_parquet([path])
        described = connection.execute(f"DESCRIBE FROM {source}").fetchall()
        binding = bind(name, [row[0] for row in described], dataset)
        fields = []
        for position, column in zip(binding.positions, dataset.columns, strict=True):
            given, type_ = described[position][:2]
            if type_.endswith("]") or type_.startswith(_NOT_SCALAR):
                raise LoadError(f"{name}: column {given} is {type_}, which is no {column.type}")
            plain = f"{identifier(given)}::VARCHAR"
            if type_.endswith("TIME ZONE"):
                # DuckDB without its zone extension writes UTC.
                plain = f"regexp_replace({plain}, '[+]00$', '')"
            fields.append(f"coalesce({plain}, '') AS {identifier(column.name)}")
        connection.execute(
            f"COPY (SELECT {', '.join(fields)} FROM {source}) TO {literal(str(out))} "
            "(FORMAT csv, HEADER, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '')"
        )
    except OSError as error:
        raise LoadError(f"{name} cannot be read: {error}") from error
    except (duckdb.Error, ValueError) as error:
        raise LoadError(f"{name} is Parquet that cannot be read: {error}") from error
    return rows, Binding(dataset.columns, tuple(range(len(dataset.columns))), binding.extra)
