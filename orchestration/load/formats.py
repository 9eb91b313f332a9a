"""A file's format by its first bytes: Parquet, text, or one to name and refuse; unpacks gzip.

Belongs here: file formats, and what to do about those that cannot be loaded. Does not belong
here: a file's content.
"""

import gzip
import shutil
import zipfile
import zlib
from pathlib import Path

from orchestration.load.errors import LoadError
from orchestration.load.examine import BOM, CHUNK

GZIP = b"\x1f\x8b"
# Gzip in gzip is unpacked this many times, and refused beyond.
MOST_LAYERS = 3

_START = 4096
_ZIP = b"PK\x03\x04"
_PARQUET = b"PAR1"
_TAR, _TAR_PLACE = b"ustar", 257
_OTHERS = (
    (b"PARE", "encrypted Parquet; save it without encryption"),
    (b"BZh", "packed by bzip2; unpack it"),
    (b"\xfd7zXZ\0", "packed by xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd; unpack it"),
    (b"\x04\x22\x4d\x18", "packed by lz4; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!", "a rar archive; unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV UTF-8"),
    (b"%PDF", "a PDF; export the data as CSV"),
    (b"ORC", "an ORC file; write it as Parquet or CSV"),
    (b"Obj\x01", "an Avro file; write it as Parquet or CSV"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the data itself; run git lfs pull"),
    (b"ARROW1", "an Arrow file; write it as Parquet or CSV"),
    (b"SQLite format 3\0", "an SQLite database; export the table as CSV"),
    (b"\xff\xfe\0\0", "UTF-32; save it as UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32; save it as UTF-8"),
    (b"\xff\xfe", "UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16; save it as UTF-8"),
)
_MARKUP = (b"<!doctype html", b"<html", b"<?xml")


def is_parquet(path: Path) -> bool:
    """Tell Parquet by the first bytes, whatever the name."""
    with path.open("rb") as file:
        return file.read(4) == _PARQUET


def unpacked(path: Path, work: Path, name: str) -> Path:
    """Return `path` or, if it is gzip, an unpacked copy in `work`; errors call it `name`.

    Raises:
        LoadError: when the gzip is damaged, or nested more than `MOST_LAYERS` deep.

    """
    for layer in range(MOST_LAYERS + 1):
        with path.open("rb") as file:
            if file.read(len(GZIP)) != GZIP:
                return path
        if layer == MOST_LAYERS:
            break
        plain = work / f"plain{layer}"
        try:
            with gzip.open(path, "rb") as packed, plain.open("wb") as out:
                shutil.copyfileobj(packed, out, CHUNK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise LoadError(f"{name} is damaged gzip ({error}); fetch it again") from error
        if layer:
            path.unlink()
        path = plain
    raise LoadError(f"{name} is gzip in gzip, more than {MOST_LAYERS} times over; unpack it")


def check_text(path: Path, name: str) -> None:
    """Raise `LoadError`, saying what the file is, if it is empty or plainly not UTF-8 text."""
    with path.open("rb") as file:
        start = file.read(_START)
    if not start.replace(BOM, b""):
        raise LoadError(f"{name} is empty; fetch it again or leave it out")
    if start.startswith(_ZIP):
        raise LoadError(f"{name} is {_kind_of_zip(path)}")
    for magic, kind in _OTHERS:
        if start.startswith(magic):
            raise LoadError(f"{name} is {kind}")
    if start[_TAR_PLACE:].startswith(_TAR):
        raise LoadError(f"{name} is a tar archive; unpack it")
    nuls = start.count(b"\0")
    if nuls and max(start[::2].count(b"\0"), start[1::2].count(b"\0")) * 10 > 4 * len(start):
        if len(start) // 2 * 1.5 < nuls:
            raise LoadError(f"{name} is not text but binary; give a CSV, gzip or Parquet file")
        raise LoadError(f"{name} is UTF-16; save it as UTF-8")
    if nuls * 10 > len(start):
        raise LoadError(f"{name} is not text but binary; give a CSV, gzip or Parquet file")
    if start.lstrip().lower().startswith(_MARKUP):
        raise LoadError(f"{name} is a web page or XML, not the data itself; fetch it again")


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "a damaged zip archive; fetch it again"
    if any(inner.startswith("xl/") for inner in names):
        return "an Excel workbook; save the sheet as CSV UTF-8"
    return "a zip archive; unpack it"
