"""DuckDB connections that print nothing.

Belongs here: the one way to open one. DuckDB draws a progress bar of its own where a terminal
watches a query of more than two seconds, into whatever is said there.
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
