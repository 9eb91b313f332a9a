"""Lines of customers in a release's folder `live`, of which few are read.

Belongs here: the form of these files, writing and reading it. They are Arrow files, sorted by a
key, in batches so small that little is read for one customer; the last batch has no rows, and its
metadata say in which of the others a key is.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

SUFFIX = ".arrow"
BATCH_ROWS = 512
# So many batches are cut from one piece.
PIECE_ROWS = 256 * BATCH_ROWS
WRITTEN = pa.ipc.IpcWriteOptions(compression="lz4")
# Of so few rows, sharing out the columns would take longer than reading them.
READ = pa.ipc.IpcReadOptions(use_threads=False)
# Metadata of the last batch: the key's name, and numbers as NumPy has them in memory.
KEY, FIRSTS, LASTS = b"key", b"firsts", b"lasts"


class Index(NamedTuple):
    """By which key the batches of lines are sorted, and the first and the last one of each."""

    key: str
    firsts: npt.NDArray[np.int64]
    lasts: npt.NDArray[np.int64]


def write_lines(path: Path, key: str, lines: pa.RecordBatchReader) -> None:
    """Writes lines that come in the order of an integer key, without reading all at once.

    Raises `ValueError` where they come in another order.
    """
    firsts: list[int] = []
    lasts: list[int] = []
    with pa.ipc.new_file(path, lines.schema, options=WRITTEN) as writer:
        for piece in _pieces(lines):
            keys = piece.column(key).to_numpy()
            if np.any(keys[1:] < keys[:-1]) or (lasts and keys[0] < lasts[-1]):
                raise ValueError(f"{path.name} would not be sorted by {key}")
            firsts += keys[::BATCH_ROWS].tolist()
            lasts += np.append(keys[BATCH_ROWS - 1 : -1 : BATCH_ROWS], keys[-1]).tolist()
            writer.write_table(piece, max_chunksize=BATCH_ROWS)
        bounds = {FIRSTS: firsts, LASTS: lasts}
        index = {name: np.array(some, np.int64).tobytes() for name, some in bounds.items()}
        none = pa.RecordBatch.from_pylist([], schema=lines.schema)
        writer.write_batch(none, custom_metadata={KEY: key, **index})


def open_lines(path: Path) -> pa.ipc.RecordBatchFileReader:
    """Opens a file of `write_lines`."""
    # Read, not mapped: what was read of a mapped file counts as this process's memory.
    return pa.ipc.open_file(pa.OSFile(os.fspath(path)), options=READ)


def read_index(file: pa.ipc.RecordBatchFileReader) -> Index:
    """What `write_lines` says of a file's batches."""
    last = file.get_batch_with_custom_metadata(file.num_record_batches - 1)
    found = last.custom_metadata
    firsts, lasts = (np.frombuffer(found[name], np.int64) for name in (FIRSTS, LASTS))
    return Index(found[KEY].decode(), firsts, lasts)


class CustomerLines:
    """Lines by customer in a file of `write_lines`; reads only batches that matter."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns of all lines."""
        self.look()
        return self._file.schema

    def look(self) -> None:
        """Opens the file, once for each file: an erasure puts another in its place."""
        found = self._path.stat()
        identity = (found.st_ino, found.st_mtime_ns)
        if identity != self._opened:
            self._file = open_lines(self._path)
            self._index = read_index(self._file)
            self._opened = identity

    def read(self, keys: Sequence[int]) -> pa.Table:
        """The lines of these customers."""
        self.look()
        key, firsts, lasts = self._index
        wanted = np.unique(np.array(keys, np.int64))
        begin = np.searchsorted(lasts, wanted).tolist()
        end = np.searchsorted(firsts, wanted, "right").tolist()
        found = []
        number = -1
        for one, numbers in zip(wanted.tolist(), map(range, begin, end), strict=True):
            for needed in numbers:
                if needed != number:
                    number, batch = needed, self._file.get_batch(needed)
                    in_batch = batch.column(key).to_numpy()
                first = int(np.searchsorted(in_batch, one))
                last = int(np.searchsorted(in_batch, one, "right"))
                found.append(batch.slice(first, last - first))
        return pa.Table.from_batches(found, self._file.schema).combine_chunks()


def _pieces(lines: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The same lines in pieces of `PIECE_ROWS`, but for the last, each in one chunk."""
    waiting: list[pa.RecordBatch] = []
    many = 0
    for batch in lines:
        waiting.append(batch)
        many += batch.num_rows
        while many >= PIECE_ROWS:
            rows = pa.Table.from_batches(waiting)
            yield rows.slice(0, PIECE_ROWS).combine_chunks()
            waiting = rows.slice(PIECE_ROWS).to_batches()
            many -= PIECE_ROWS
    if many:
        yield pa.Table.from_batches(waiting).combine_chunks()
