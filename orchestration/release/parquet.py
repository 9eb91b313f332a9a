"""A release as Parquet files in `<domain>/r<number>`; `current` links to the one served.

`marts` writes the files, `follow` moves the link.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

CURRENT = "current"


class ParquetRelease:
    """The folder of one release, inside that of its domain."""

    def __init__(self, domain_dir: Path, number: int) -> None:
        self._domain_dir = domain_dir
        self._name = f"r{number}"
        self._unfinished = domain_dir / f".{self._name}"

    def start(self) -> Path:
        """Makes a fresh folder under a temporary name that readers do not use."""
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(parents=True)
        return self._unfinished

    def finish(self) -> None:
        """Gives the folder its name, replacing that of an unregistered release of this number."""
        finished = self._domain_dir / self._name
        shutil.rmtree(finished, ignore_errors=True)
        self._unfinished.rename(finished)

    def make_current(self) -> None:
        """Links `current` to this release atomically; does nothing if its files are not here."""
        if (self._domain_dir / self._name).is_dir():
            link = self._domain_dir / f".{CURRENT}"
            link.unlink(missing_ok=True)
            link.symlink_to(self._name)
            link.replace(self._domain_dir / CURRENT)


def linked_release(domain_dir: Path) -> str | None:
    """The name of the folder that `current` links to, None if there is no link."""
    link = domain_dir / CURRENT
    return link.readlink().name if link.is_symlink() else None


def drop_old_folders(domain_dir: Path, kept: Sequence[int]) -> None:
    """Removes the folders of releases that are no longer kept, and unfinished ones."""
    names = {f"r{number}" for number in kept} | {CURRENT}
    for folder in domain_dir.iterdir():
        if folder.name not in names:
            shutil.rmtree(folder, ignore_errors=True)
