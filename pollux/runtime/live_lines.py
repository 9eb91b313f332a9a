"""Lines of customers in a release's folder `live`, of which few are read."""

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# So few that little is read for one customer, so many that the index stays small.
ROW_GROUP_ROWS = 2048


class CustomerLines:
    """Lines by customer in a Parquet file sorted by a key; reads only row groups that matter."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._opened: tuple[int, int] | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns of all lines."""
        with self._path.open("rb") as file:
            self._look(file)
        return self._metadata.schema.to_arrow_schema()

    def read(self, keys: Sequence[int]) -> pa.Table:
        """The lines of these customers."""
        with self._path.open("rb") as file:
            self._look(file)
            parquet = pq.ParquetFile(file, metadata=self._metadata)
            rows = parquet.read_row_groups(self._groups(keys), use_threads=False)
        # An empty list of values has no type of its own.
        values = pa.array(keys, rows.schema.field(self._key).type)
        return rows.filter(pc.is_in(rows[self._key], values))

    def _look(self, file: BinaryIO) -> None:
        """Reads the file's index, once for each file: an erasure puts another in its place."""
        found = os.fstat(file.fileno())
        identity = (found.st_ino, found.st_mtime_ns)
        if identity != self._opened:
            self._index(pq.read_metadata(file))
            self._opened = identity

    def _index(self, metadata: pq.FileMetaData) -> None:
        self._metadata = metadata
        column = metadata.schema.names.index(self._key)
        # An erasure of all rows leaves a row group of none, which has no statistics.
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        self._numbers = [number for number, group in enumerate(groups) if group.num_rows]
        ranges = [groups[number].column(column).statistics for number in self._numbers]
        self._firsts = [found.min for found in ranges]
        self._lasts = [found.max for found in ranges]

    def _groups(self, keys: Sequence[int]) -> list[int]:
        found = set()
        for key in keys:
            group = bisect_left(self._lasts, key)
            while group < len(self._firsts) and self._firsts[group] <= key:
                found.add(self._numbers[group])
                group += 1
        return sorted(found)
