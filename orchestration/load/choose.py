"""Which files a load takes, and which dataset each belongs to.

Belongs here: names, patterns, and what may be read at all: files, and pipes given by path.
Does not belong here: a file's content.
"""

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.load.declarations import Dataset
from orchestration.load.errors import LoadError
from orchestration.load.landing import part_name
from orchestration.load.names import shown

# Suffixes of files that a program is still writing.
UNFINISHED = (".part", ".tmp", ".partial", ".crdownload")
# Suffixes of an editor's backups.
BACKUPS = ("~", ".bak", ".orig", ".swp")

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Chosen:
    """A file to load, and its dataset."""

    file: Path
    dataset: Dataset

    @property
    def part(self) -> str:
        """The name of the file's part."""
        return part_name(self.file.name)

    @property
    def key(self) -> tuple[str, str]:
        """Dataset and part."""
        return self.dataset.name, self.part


def choose(
    declared: list[Dataset], from_: Path | Sequence[Path], notes: list[str], *, named: bool
) -> list[Chosen]:
    """Pair every file with its dataset, in the order given and by name within a folder.

    With `named`, files given by path belong to the one dataset declared, whatever their names.

    Raises:
        LoadError: for a path that is missing, not a file, of no dataset, or given twice.

    """
    found: list[Chosen] = []
    for given in [from_] if isinstance(from_, Path) else from_:
        kind = kind_of(given)
        if kind == "a folder":
            found += _in_folder(given, declared, notes)
        elif kind not in {"a file", "a pipe"}:
            raise LoadError(f"{shown(given)} is {kind}; give a file, a folder or a pipe")
        elif named:
            found.append(Chosen(given, declared[0]))
        else:
            dataset = _dataset_of(given, declared)
            if dataset is None:
                raise LoadError(f"{shown(given)} matches no pattern; {_patterns(declared)}")
            found.append(Chosen(given, dataset))
    taken: dict[tuple[str, str], Chosen] = {}
    for one in found:
        other = taken.setdefault(one.key, one)
        if not other.file.samefile(one.file):
            raise LoadError(
                f"{shown(other.file)} and {shown(one.file)} have one name; rename one or load one "
                "of them"
            )
    return list(taken.values())


def kind_of(path: Path) -> str:
    """Return the kind of a path, in words: a file, a folder, a pipe, a socket or a device.

    Raises:
        LoadError: when nothing is there, or it cannot be read.

    """
    with readable(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            if path.is_symlink():
                to = shown(path.readlink())
                raise LoadError(f"{shown(path)} is a link to {to}, which does not exist") from None
            raise LoadError(f"{shown(path)} does not exist") from None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "a file")


def is_unfinished(name: str) -> bool:
    """Whether a file's name says that a program is still writing it."""
    return name.lower().endswith(UNFINISHED)


def is_backup(name: str) -> bool:
    """Whether a file's name says that it is an editor's backup."""
    return name.lower().endswith(BACKUPS) or (name.startswith("#") and name.endswith("#"))


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn an `OSError` into a `LoadError` that names the file."""
    try:
        yield
    except OSError as error:
        raise LoadError(f"{shown(file)} cannot be read: {error.strerror or error}") from error


def _in_folder(folder: Path, declared: list[Dataset], notes: list[str]) -> list[Chosen]:
    with readable(folder):
        paths = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        home = folder.resolve()
    found: list[Chosen] = []
    left: dict[str, list[str]] = {}
    for path in paths:
        dataset = _dataset_of(path, declared)
        if dataset is None:
            if not path.is_dir():
                left.setdefault("no dataset for", []).append(shown(path.name))
        elif is_unfinished(path.name):
            left.setdefault("left out as not finished", []).append(shown(path.name))
        elif is_backup(path.name):
            left.setdefault("left out as an editor's backup", []).append(shown(path.name))
        else:
            _check_is_of_folder(path, home)
            found.append(Chosen(path, dataset))
    told = [f"{why} {', '.join(names)}" for why, names in left.items()]
    if not found:
        said = "; ".join(["has no file of a dataset", *told, _patterns(declared)])
        raise LoadError(f"{shown(folder)} {said}")
    notes += [f"{shown(folder)}: {text}" for text in told]
    return found


def _check_is_of_folder(path: Path, home: Path) -> None:
    """Raise `LoadError` for anything but a file, and for a link to outside the folder."""
    kind = kind_of(path)
    if kind != "a file":
        raise LoadError(
            f"{shown(path)} is {kind}, not a file; move it away, or give the files to load one by "
            "one"
        )
    target = path.resolve()
    if not target.is_relative_to(home):
        raise LoadError(
            f"{shown(path)} is a link to {shown(target)}, outside the folder; give that file "
            "itself, or copy it into the folder"
        )


def _dataset_of(file: Path, declared: list[Dataset]) -> Dataset | None:
    found = [dataset for dataset in declared if dataset.matches(file.name)]
    if len(found) > 1:
        names = ", ".join(dataset.name for dataset in found)
        raise LoadError(f"{shown(file)} matches several datasets ({names}); name one: --dataset")
    return found[0] if found else None


def _patterns(declared: list[Dataset]) -> str:
    return "patterns are " + "; ".join(f"{d.name}: {', '.join(d.files)}" for d in declared)
