"""Checks that dbt can open the warehouse: DuckDB lets one program at a time open its file.

Pollux's own processes take turns by a lock (`pollux.runtime.warehouse`), but a notebook or a
DuckDB shell does not know it.
"""

import re

import duckdb

from orchestration.transform.errors import BuildError
from pollux.masking import told
from pollux.runtime.duck import open_duckdb
from pollux.runtime.settings import Settings

HOLDER = re.compile(r"held in (?P<program>\S+) \(PID (?P<pid>\d+)\)")


def check_is_free(settings: Settings) -> None:
    """Raises `BuildError` naming the process that has the warehouse open.

    The caller holds the lock.
    """
    if not settings.warehouse_path.exists():
        return
    try:
        open_duckdb(settings.warehouse_path).close()
    except duckdb.Error as error:
        holder = HOLDER.search(told(error))
        if holder is None:
            raise BuildError(
                f"{settings.warehouse_path} cannot be opened: {told(error)}"
            ) from error
        raise BuildError(
            f"{settings.warehouse_path} is open in process {holder['pid']} ({holder['program']}), "
            "which keeps a build out: close it there. Files to read at any time are in "
            f"{settings.releases_dir}/<domain>/current."
        ) from error
