"""The record of each domain's last build: a small file per domain.

A release reads from it whether every test passed. It says `running` before the first model starts,
so a build that was killed is never released.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from orchestration.transform.errors import BuildError
from orchestration.transform.graph import ServedTable
from orchestration.transform.study import STUDIED, study_of
from pollux.quality import Quality
from pollux.runtime.settings import PROJECT_DIR, Settings


@dataclass(frozen=True)
class BuildRecord:
    """The last build of a domain.

    `landing`, `events` and `code` are the fingerprints of what it was built from, `tables` the
    marts that a release of it holds. Events are separate, since learning depends on files alone.
    `last_event` is the number of the last landed row of the events by which the domain is followed
    (`pollux.runtime.live`). Of builds of before 2026-11-27 neither it nor `quality` is known.
    """

    domain: str
    engine: str
    status: Literal["running", "passed", "failed"]
    started_at: str
    invocation_id: str = ""
    landing: str = ""
    events: str = ""
    last_event: int = 0
    code: str = ""
    failures: tuple[str, ...] = ()
    tables: tuple[ServedTable, ...] = ()
    models: int = 0
    tests: int = 0
    seconds: float = 0
    quality: Quality | None = None


_RECORD = TypeAdapter(BuildRecord)


def rules_of(settings: Settings, domain: str) -> str:
    """What changes whenever a rule of the domain does: the dbt project, and the window."""
    code = code_fingerprint()
    return f"{code}:{study_of(settings)}" if domain == STUDIED else code


def code_fingerprint() -> str:
    """A hash of the dbt project."""
    digest = hashlib.sha256((PROJECT_DIR / "dbt_project.yml").read_bytes())
    for folder in ("models", "macros", "seeds", "tests/dbt", "profiles"):
        for path in sorted((PROJECT_DIR / folder).rglob("*")):
            if path.is_file():
                digest.update(str(path.relative_to(PROJECT_DIR)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def read_record(settings: Settings, domain: str) -> BuildRecord | None:
    """The record of a domain's last build, None if there was none."""
    path = _path(settings, domain)
    try:
        return _RECORD.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise BuildError(
            f"{path} is not a record of a build: remove it, and run pollux build."
        ) from error


def read_records(settings: Settings) -> list[BuildRecord]:
    """The records of the last builds of all domains."""
    domains = sorted(path.stem for path in _path(settings, "").parent.glob("*.json"))
    return [record for domain in domains if (record := read_record(settings, domain)) is not None]


def write_record(settings: Settings, record: BuildRecord) -> None:
    """Replaces the record of a domain's last build atomically."""
    path = _path(settings, record.domain)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(_RECORD.dump_json(record, indent=2))
    unfinished.replace(path)


def _path(settings: Settings, domain: str) -> Path:
    return settings.data_dir / "builds" / f"{domain}.json"
