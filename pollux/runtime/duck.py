"""DuckDB connections that print nothing.

In a terminal, DuckDB draws a progress bar for queries of more than two seconds, in the middle of
other output.
"""

from pathlib import Path
from typing import Any

import duckdb


def open_duckdb(database: str | Path = ":memory:", **options: Any) -> duckdb.DuckDBPyConnection:
    """Opens a database as `duckdb.connect` does, with its options."""
    connection = duckdb.connect(database, **options)
    try:
        connection.execute("set enable_progress_bar = false")
    except BaseException:
        connection.close()
        raise
    return connection
