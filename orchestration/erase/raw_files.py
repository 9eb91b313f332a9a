"""Takes subjects out of raw files as they came: the inbox, what was loaded from it, what failed.

Belongs here: files that no load has read yet or that it has read. Does not belong here: what landed
from them (`landed`). Lines that stay keep their bytes. A file that cannot be read by its columns is
removed where it names a subject, and a damaged one that nobody can read in any case.
"""

import csv
import gzip
import io
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from orchestration.erase.changes import Changes
from orchestration.erase.columns import IdColumns, columns_of
from orchestration.erase.tables import erase_parquet
from orchestration.load.declarations import read_datasets
from orchestration.load.formats import GZIP, is_parquet
from orchestration.load.inbox import SET_ASIDE
from orchestration.scans import scan_parquet
from pollux.runtime.settings import PROJECT_DIR, Settings
from pollux.subject_patterns import sure_part
from pollux.subjects import MEMBER, Subject, emails_of, key_of

# A file that changed lately may still be written.
STILL_SECONDS = 5
# What reading a packed file raises that is damaged.
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)


class _Place(NamedTuple):
    """A column that holds ids, and whom it may name; counted from 0."""

    place: int
    subject: Subject
    is_own: bool

    def names(self, record: Sequence[str]) -> bool:
        """Whether a record, read as Latin-1, has the id there."""
        if self.place >= len(record):
            return False
        text = record[self.place].encode("latin-1").decode(errors="replace")
        return key_of(self.subject.kind, text) == self.subject.id


def erase_raw_files(
    engine: duckdb.DuckDBPyConnection,
    settings: Settings,
    subjects: Sequence[Subject],
    columns: IdColumns,
    changes: Changes,
) -> None:
    """Prepares what is to be done to them; the caller holds the inbox's lock."""
    for path in sorted(settings.inbox_dir.rglob("*")):
        if not path.is_symlink() and path.is_file() and _is_still(path):
            changes.rows["inbox (files)"] += _erase(engine, path, subjects, columns, changes)


def _erase(
    engine: duckdb.DuckDBPyConnection,
    path: Path,
    subjects: Sequence[Subject],
    columns: IdColumns,
    changes: Changes,
) -> bool:
    if is_parquet(path):
        if can_be_read(engine, path):
            return erase_parquet(engine, path, subjects, columns, changes) > 0
        changes.remove(path)
        return True
    try:
        content, is_packed = read_file(path)
    except DAMAGED:
        # Packed and damaged: nobody can read it.
        changes.remove(path)
        return True
    kept = without(path, content, subjects, columns)
    if kept is None:
        changes.remove(path)
    elif kept != content:
        changes.successor(path).write_bytes(gzip.compress(kept) if is_packed else kept)
    return kept != content


def can_be_read(engine: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether a Parquet file is whole: one that was cut off has no list of its columns."""
    try:
        columns_of(engine, scan_parquet([path]))
    except duckdb.InvalidInputException:
        return False
    return True


def read_file(path: Path) -> tuple[bytes, bool]:
    """The content of a raw file, and whether it is packed; raises one of `DAMAGED`."""
    content = path.read_bytes()
    is_packed = content.startswith(GZIP)
    return gzip.decompress(content) if is_packed else content, is_packed


def without(
    path: Path, content: bytes, subjects: Sequence[Subject], columns: IdColumns
) -> bytes | None:
    """The content without the lines of subjects; None where nothing of it may stay."""
    if not any(may_name(content, subject) for subject in subjects):
        return content
    lines = _kept_lines(path, content, subjects, columns)
    return None if lines is None else b"".join(lines)


def may_name(content: bytes, subject: Subject) -> bool:
    """Whether the bytes of an id are there, as its own or as part of something else."""
    return sure_part(subject) in (content.lower() if subject.kind == MEMBER else content)


def _kept_lines(
    path: Path, content: bytes, subjects: Sequence[Subject], columns: IdColumns
) -> list[bytes] | None:
    """The lines that are about nobody of these; None if it cannot be told by the columns."""
    name = SET_ASIDE.sub("", path.name)
    datasets = [one for one in read_datasets(PROJECT_DIR).values() if one.matches(name)]
    lines = content.splitlines(keepends=True)
    emails = {subject.id for subject in subjects if subject.kind == MEMBER}
    if any(one.format == "lines" for one in datasets):
        return [line for line in lines if not emails & emails_of(line.decode(errors="replace"))]
    if not lines:
        return lines
    header = next(csv.reader([lines[0].decode("utf-8-sig", "replace")]), [])
    places = [
        _Place(place, subject, is_own=names[key])
        for subject in subjects
        for place, column in enumerate(header)
        if (key := column.strip().lower()) in (names := columns[subject.kind])
    ]
    if not places:
        return None
    return [lines[0], *_kept_records(lines[1:], places)]


def _kept_records(lines: Sequence[bytes], places: Sequence[_Place]) -> Iterator[bytes]:
    """Records, of one or more lines each, in none of whose places an id is."""
    reader = csv.reader(line.decode("latin-1") for line in lines)
    begins = 0
    while True:
        try:
            record = next(reader, None)
        except csv.Error:
            record = []
        if record is None:
            return
        block, begins = lines[begins : reader.line_num], reader.line_num
        named = [one for one in places if one.names(record)]
        if not named:
            yield from block
        elif not any(one.is_own for one in named):
            yield _emptied(record, [one.place for one in named])


def _emptied(record: Sequence[str], places: Sequence[int]) -> bytes:
    out = io.StringIO()
    row = ["" if place in places else value for place, value in enumerate(record)]
    csv.writer(out, lineterminator="\n").writerow(row)
    return out.getvalue().encode("latin-1")


def _is_still(path: Path) -> bool:
    return path.stat().st_mtime < time.time() - STILL_SECONDS
