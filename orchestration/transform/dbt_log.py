"""The log of dbt's runs, `logs/dbt.log`: what dbt says, without the values in databases' errors.

dbt's own file would keep them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pollux.masking import without_values

# Then it becomes dbt.log.1, and a new one begins.
MAX_BYTES = 10 * 2**20
WITH_VALUES = ("error", "warn")


@contextmanager
def dbt_log(folder: Path) -> Iterator[IO[str]]:
    """The log, to append lines to with `write_event`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dbt.log"
    if path.exists() and path.stat().st_size > MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    # By line, for people who follow a build, and for builds that are killed.
    with path.open("a", encoding="utf-8", buffering=1) as log:
        yield log


def write_event(log: IO[str], line: str) -> None:
    """Adds a line of dbt's output: its time, level and message."""
    try:
        info = json.loads(line)["info"]
        at, level, message = info["ts"], info["level"], info["msg"]
    except (ValueError, KeyError, TypeError):
        log.write(without_values(line.rstrip()) + "\n")
        return
    said = without_values(message) if level in WITH_VALUES else message
    log.write(f"{at} {level} {said}\n")
