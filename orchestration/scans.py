"""How DuckDB opens a data file: the SQL of the scan, and quoting of names and texts.

Every `read_csv` and `read_parquet` of the project is here, so that none forgets
`hive_partitioning = false`: by default DuckDB reads a folder `country_code=Chile` above a file as a
column, in place of the file's own column of that name.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path


def scan_csv(path: Path, options: Mapping[str, str] | None = None) -> str:
    """A `read_csv` of one file; `options` are SQL by name."""
    more = "".join(f", {name} = {value}" for name, value in (options or {}).items())
    return f"read_csv({_pattern(path)}, hive_partitioning = false{more})"


def scan_parquet(paths: Iterable[Path]) -> str:
    """A `read_parquet` of these files, as one table."""
    files = ", ".join(_pattern(path) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"


def scan_parts(folder: Path) -> str:
    """A `read_parquet` of all Parquet files of a folder, by the names of their columns."""
    files = literal(f"{_escaped(folder)}/*.parquet")
    return f"read_parquet({files}, hive_partitioning = false, union_by_name = true)"


def literal(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _pattern(path: Path) -> str:
    return literal(_escaped(path))


def _escaped(path: Path) -> str:
    """A path escaped for places where DuckDB takes a glob pattern."""
    return "".join(f"[{c}]" if c in "[*?" else c for c in str(path))
