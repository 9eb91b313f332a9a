"""Files that an erasure writes anew or removes: all are prepared, counted, then changed.

So a count is whole however often the process is killed: it is noted before the first file changes.
What a killed process had prepared is removed by the next, which prepares anew.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestration.load.landing import publish
from pollux.runtime.steps import step

# Enters rows by place in the journal of erasures, before they go.
Note = Callable[[Mapping[str, int]], None]
# The end of the name of a prepared file, which nobody reads.
UNFINISHED = ".erased"


class Changes:
    """What is to be done to files, and `rows` that go with it by place."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self._written: list[Path] = []
        self._removed: list[Path] = []

    def successor(self, path: Path) -> Path:
        """Where to write the file that will take another's place."""
        self._written.append(path)
        return _successor(path)

    def remove(self, path: Path) -> None:
        """Adds a file that is to go."""
        self._removed.append(path)

    def make(self) -> None:
        """Changes the files, each at once."""
        for path in self._removed:
            path.unlink()
            step("erase.file_removed")
        for path in self._written:
            # Spark checks a file by what stands beside it.
            path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
            publish(_successor(path), path)
            step("erase.file_written")


def remove_unfinished(*folders: Path) -> None:
    """Removes what was prepared in these folders and never took its place."""
    for folder in folders:
        for path in folder.rglob(f".*{UNFINISHED}"):
            path.unlink()


def _successor(path: Path) -> Path:
    return path.with_name(f".{path.name}{UNFINISHED}")
