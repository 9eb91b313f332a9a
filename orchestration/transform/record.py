"""What is known of the last build of each domain: a small file per domain.

A release asks it whether every test passed. It says `running` from before the first model, so
that a build that was killed is never released.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pollux.runtime.settings import Settings


@dataclass(frozen=True)
class BuildRecord:
    """The last build of a domain; `landing` is the fingerprint of what it was built from."""

    domain: str
    engine: str
    status: Literal["running", "passed", "failed"]
    started_at: str
    invocation_id: str = ""
    landing: str = ""
    code: str = ""
    failures: tuple[str, ...] = ()


def read_record(settings: Settings, domain: str) -> BuildRecord | None:
    """The record of a domain's last build, None where there was none."""
    try:
        content = json.loads(_path(settings, domain).read_text())
    except FileNotFoundError:
        return None
    return BuildRecord(**content | {"failures": tuple(content["failures"])})


def write_record(settings: Settings, record: BuildRecord) -> None:
    """Replaces the record of a domain's last build, all at once."""
    path = _path(settings, record.domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(record), indent=2))
    unfinished.replace(path)


def _path(settings: Settings, domain: str) -> Path:
    return settings.data_dir / "builds" / f"{domain}.json"
