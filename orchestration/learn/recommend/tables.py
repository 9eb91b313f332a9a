"""A user's table, CSV or Parquet, read by column names, with errors in one line."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.learn.recommend.errors import BasketsError
from orchestration.load.formats import check_text, is_parquet, unpacked
from orchestration.scans import identifier, scan_csv, scan_parquet
from pollux.masking import told
from pollux.runtime.duck import open_duckdb

_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Table:
    """The columns of a table that were asked for, in `engine` as texts in the table `source`."""

    path: Path
    engine: duckdb.DuckDBPyConnection
    source: str = "columns_read"

    def texts(self, name: str) -> str:
        """The SQL of a column as text, null if blank."""
        return identifier(name.lower())

    def whole_numbers(self, name: str) -> str:
        """The SQL of a column as whole numbers; raises `BasketsError` for other values."""
        value = f"try_cast({self.texts(name)} as bigint)"
        odd = self._other_than(self.texts(name), value)
        if odd is not None:
            raise BasketsError(f"{self.path}: {name} holds {odd!r}, which is not a whole number")
        return value

    def numbers(self, name: str) -> str | None:
        """The SQL of a column as numbers; None if it holds other values."""
        value = f"try_cast({self.texts(name)} as double)"
        return value if self._other_than(self.texts(name), value) is None else None

    def days(self, name: str) -> str:
        """The SQL of a column of dates or times as days since 1970.

        Raises `BasketsError` for other values.
        """
        value = f"try_cast({self.texts(name)} as timestamp)"
        odd = self._other_than(self.texts(name), value)
        if odd is not None:
            raise BasketsError(f"{self.path}: {name} holds {odd!r}, neither a time nor a number")
        return f"epoch({value}) / {_DAY_SECONDS}"

    def _other_than(self, text: str, value: str) -> str | None:
        query = f"select {text} from {self.source} where {text} is not null and {value} is null"
        rows = self.engine.execute(f"{query} limit 1").fetchall()
        return rows[0][0] if rows else None


@contextmanager
def open_table(path: Path, names: Iterable[str]) -> Iterator[Table]:
    """Read columns of a CSV or Parquet file, plain or in gzip; upper and lower case are alike.

    Raises:
        LoadError: when it is another kind of file.
        BasketsError: when it cannot be read, or has no such column.

    """
    with tempfile.TemporaryDirectory() as work, open_duckdb() as engine:
        try:
            plain = unpacked(path, Path(work), str(path))
            if is_parquet(plain):
                scan = scan_parquet([plain])
            else:
                check_text(plain, str(path))
                scan = scan_csv(plain, {"header": "true", "all_varchar": "true"})
            table = Table(path, engine)
            # Once: every check and query after it would read the file anew.
            engine.execute(
                f"create temp table {table.source} as {_texts(path, engine, scan, names)}"
            )
            yield table
        except (duckdb.Error, OSError) as error:
            reason = told(error).splitlines()[0]
            raise BasketsError(f"{path} cannot be read: {reason}") from error


def _texts(path: Path, engine: duckdb.DuckDBPyConnection, scan: str, names: Iterable[str]) -> str:
    """The SQL of columns as texts, null if blank, by name in lower case."""
    found = [row[0] for row in engine.execute(f"describe from {scan}").fetchall()]
    columns = {name.lower().strip(): name for name in found}
    asked = {name.lower(): name for name in names}
    for key, name in asked.items():
        if key not in columns:
            known = ", ".join(found)
            raise BasketsError(f"{path} has no column {name}; its columns are {known}")
    listed = (
        f"nullif(trim({identifier(columns[key])}::varchar), '') as {identifier(key)}"
        for key in asked
    )
    return f"select {', '.join(listed)} from {scan}"
