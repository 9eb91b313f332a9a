"""The load log: a line of JSON for every file that a load was given."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pollux.runtime.settings import Settings


def append_to_log(settings: Settings, entries: Sequence[Mapping[str, object]]) -> None:
    """Add entries to the load log, one line each; they are on disk when this returns."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    text = "".join(json.dumps({"at": at, **entry}) + "\n" for entry in entries)
    with _path(settings).open("a+b") as log:
        if _is_torn(log.fileno()):
            text = "\n" + text
        log.write(text.encode())
        log.flush()
        os.fsync(log.fileno())


def read_load_log(settings: Settings) -> list[dict[str, Any]]:
    """Return the entries of the load log, oldest first, without lines torn by a crash."""
    path = _path(settings)
    entries = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entries.append(json.loads(line))
    return entries


def _path(settings: Settings) -> Path:
    return settings.landing_dir / "load_log.jsonl"


def _is_torn(log: int) -> bool:
    size = os.fstat(log).st_size
    return size > 0 and os.pread(log, 1, size - 1) != b"\n"
