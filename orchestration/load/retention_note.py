"""What was forgotten the last time: a note in the data folder, for `pollux status`."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass

from pollux.runtime.processes import write_record
from pollux.runtime.settings import Settings

RECORD = "retention.json"


@dataclass(frozen=True)
class Forgotten:
    """How much went, by kind; `parts` are those of the landing zone."""

    runs: int = 0
    texts: int = 0
    failed_files: int = 0
    loaded_files: int = 0
    parts: int = 0
    decisions: int = 0

    def describe(self) -> str:
        """The same in words."""
        return (
            f"{self.runs} runs of Dagster, the text of {self.texts} rejected rows, "
            f"{self.failed_files} files that had failed to load, {self.loaded_files} that had been "
            f"loaded, {self.parts} parts of the landing zone, {self.decisions} decisions"
        )


@dataclass(frozen=True)
class LastTime:
    """When retention was last at work (ISO 8601), what went, and what kept it from its work."""

    at: str
    forgotten: Forgotten
    problem: str = ""


def note(settings: Settings, last: LastTime) -> None:
    """Keeps what was done last for `read_note`."""
    write_record(settings.data_dir / RECORD, asdict(last))


def read_note(settings: Settings) -> LastTime | None:
    """What was done last, None if nothing ever was."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((settings.data_dir / RECORD).read_text())
        return LastTime(found["at"], Forgotten(**found["forgotten"]), found["problem"])
    return None
