"""Object stores of a Spark cluster: what has landed is copied there, builds are copied back.

Belongs here: everything that speaks to one. Does not belong here: what is landed or built. Loads,
releases and erasures work on the installation's own folders, of which a store holds copies.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pollux.runtime.errors import PolluxError
from pollux.runtime.processes import write_record
from pollux.runtime.settings import Settings, is_object_store

# Whose a place is, there and in the data folder.
OWNER = ".pollux"
OWN_NAME = "object-store-owner"


class ObjectStoreError(PolluxError):
    """An object store cannot be used, or belongs to another installation."""

    exit_code = 4


@dataclass(frozen=True)
class _Place:
    """A place in a store: its file system by Arrow, and the path in there, bucket first."""

    files: Any
    path: str

    def names(self) -> set[str]:
        """All objects below the place, without the mark of its owner."""
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415

        found = self.files.get_file_info(
            FileSelector(self.path, recursive=True, allow_not_found=True)
        )
        names = {one.path[len(self.path) + 1 :] for one in found if one.type == FileType.File}
        return names - {OWNER}

    def copy_in(self, source: Path, name: str) -> None:
        with (
            source.open("rb") as file,
            self.files.open_output_stream(f"{self.path}/{name}") as object_,
        ):
            shutil.copyfileobj(file, object_, length=1 << 22)


def claim_stores(settings: Settings) -> None:
    """Makes the places in stores this installation's own. Raises `ObjectStoreError`."""
    for url in (settings.landing_url, settings.lake_url):
        with _opened(settings, url):
            pass


def send_landing(settings: Settings) -> None:
    """Makes the store hold what has landed, and nothing else; the caller holds the landing zone.

    An object never changes: its name is a hash of its content. Raises `ObjectStoreError`.
    """
    with _opened(settings, settings.landing_url) as place:
        if place is None:
            return
        wanted = {_name_of(path): path for path in settings.landing_dir.glob("*/*/*.parquet")}
        there = place.names()
        for name in sorted(wanted.keys() - there):
            place.copy_in(wanted[name], name)
        for name in sorted(there - wanted.keys()):
            place.files.delete_file(f"{place.path}/{name}")


def fetch(settings: Settings, name: str) -> None:
    """Copies a folder of the lake from the store; there, the whole of it or nothing.

    Raises `ObjectStoreError`.
    """
    from pyarrow.fs import LocalFileSystem, copy_files  # noqa: PLC0415

    with _opened(settings, settings.lake_url) as place:
        if place is None:
            return
        settings.lake_dir.mkdir(parents=True, exist_ok=True)
        target = settings.lake_dir / name
        with tempfile.TemporaryDirectory(dir=settings.lake_dir, prefix=".") as scratch:
            unfinished = Path(scratch) / name
            unfinished.mkdir()
            if any(one.startswith(f"{name}/") for one in place.names()):
                copy_files(
                    f"{place.path}/{name}",
                    str(unfinished),
                    source_filesystem=place.files,
                    destination_filesystem=LocalFileSystem(),
                )
            shutil.rmtree(target, ignore_errors=True)
            unfinished.rename(target)


def drop_from_lake(settings: Settings, dropped: Set[str]) -> None:
    """Removes folders of the lake from the store. Raises `ObjectStoreError`."""
    with _opened(settings, settings.lake_url) as place:
        if place is None:
            return
        for folder in sorted({name.partition("/")[0] for name in place.names()} & dropped):
            place.files.delete_dir(f"{place.path}/{folder}")


def folders_in_lake(settings: Settings) -> set[str]:
    """The folders of the lake in the store. Raises `ObjectStoreError`."""
    with _opened(settings, settings.lake_url) as place:
        return set() if place is None else {name.partition("/")[0] for name in place.names()}


def empty_stores(settings: Settings) -> None:
    """Removes all copies from the stores, and looks that none is left: the next build sends anew.

    Raises `ObjectStoreError`.
    """
    for url in (settings.landing_url, settings.lake_url):
        with _opened(settings, url) as place:
            if place is None:
                continue
            for name in place.names():
                place.files.delete_file(f"{place.path}/{name}")
            left = place.names()
            if left:
                raise ObjectStoreError(f"{url} still holds {min(left)} after all was removed.")


@contextmanager
def _opened(settings: Settings, url: str) -> Iterator[_Place | None]:
    """The place of an address, claimed for the installation; None where it is a folder."""
    if not is_object_store(url):
        yield None
        return
    try:
        place = _place_of(url)
        _claim(settings, place, url)
        yield place
    except (OSError, ValueError) as error:
        raise ObjectStoreError(f"{url} cannot be used: {error}") from error


def _place_of(url: str) -> _Place:
    from pyarrow.fs import FileSystem  # noqa: PLC0415

    files, path = FileSystem.from_uri(url.replace("s3a://", "s3://", 1))
    return _Place(files, path.rstrip("/"))


def _claim(settings: Settings, place: _Place, url: str) -> None:
    """Two installations would remove each other's objects."""
    from pyarrow.fs import FileType  # noqa: PLC0415

    mark = f"{place.path}/{OWNER}"
    own = _own_name(settings)
    if place.files.get_file_info(mark).type == FileType.NotFound:
        with place.files.open_output_stream(mark) as file:
            file.write(own.encode())
    with place.files.open_input_stream(mark) as file:
        owner = file.read().decode()
    if owner != own:
        raise ObjectStoreError(
            f"{url} belongs to another installation: name another place, or remove {OWNER} there "
            "if that installation is gone."
        )


def _own_name(settings: Settings) -> str:
    path = settings.data_dir / OWN_NAME
    if not path.exists():
        write_record(path, uuid4().hex)
    return str(json.loads(path.read_text()))


def _name_of(path: Path) -> str:
    """The object of a part: its dataset's folder, and a hash of its name and content.

    Spark passes over names with an underscore, such as that of a dataset without rows.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(path.name.encode())
    hidden = "_" if path.name.startswith("_") else ""
    return f"{path.parts[-3]}/{path.parts[-2]}/{hidden}{digest.hexdigest()}.parquet"
