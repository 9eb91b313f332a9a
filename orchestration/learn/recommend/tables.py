"""A user's table, CSV or Parquet, read by column names, with errors in one line."""

import tempfile
from collections.abc import Iterator
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
    """An open table: the SQL of its scan, and its columns by name in lower case."""

    path: Path
    engine: duckdb.DuckDBPyConnection
    scan: str
    columns: dict[str, str]

    def texts(self, name: str) -> str:
        """The SQL of a column as text, null if blank; raises `BasketsError` if it is missing."""
        if name.lower() not in self.columns:
            known = ", ".join(self.columns.values())
            raise BasketsError(f"{self.path} has no column {name}; its columns are {known}")
        return f"nullif(trim({identifier(self.columns[name.lower()])}::varchar), '')"

    def whole_numbers(self, name: str) -> str:
        """The SQL of a column as whole numbers; raises `BasketsError` for other values."""
        text = self.texts(name)
        odd = self._other_than(text, f"try_cast({text} as bigint)")
        if odd is not None:
            raise BasketsError(f"{self.path}: {name} holds {odd!r}, which is not a whole number")
        return f"cast({text} as bigint)"

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
        query = f"select {text} from {self.scan} where {text} is not null and {value} is null"
        row = self.engine.execute(f"{query} limit 1").fetchone()
        return row[0] if row else None


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a CSV or Parquet file, plain or in gzip.

    Raises:
        LoadError: when it is another kind of file.
        BasketsError: when it cannot be read.

    """
    with tempfile.TemporaryDirectory() as work, open_duckdb() as engine:
        try:
            plain = unpacked(path, Path(work), str(path))
            if is_parquet(plain):
                scan = scan_parquet([plain])
            else:
                check_text(plain, str(path))
                scan = scan_csv(plain, {"header": "true", "all_varchar": "true"})
            names = [row[0] for row in engine.execute(f"describe from {scan}").fetchall()]
            yield Table(path, engine, scan, {name.lower().strip(): name for name in names})
        except (duckdb.Error, OSError) as error:
            reason = told(error).splitlines()[0]
            raise BasketsError(f"{path} cannot be read: {reason}") from error
