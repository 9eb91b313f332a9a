"""Twins: files of one dataset with the same content under different names; one of them lands."""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from io import BufferedReader
from pathlib import Path

from orchestration.load.examine import BOM, CHUNK
from orchestration.load.formats import GZIP, MOST_LAYERS

Key = tuple[str, str]


def content_sha256(path: Path) -> str:
    """Return the hex digest of a file's content, without gzip and byte order marks."""
    with path.open("rb") as file:
        try:
            content = _plain(file)
            digest = hashlib.sha256()
            chunk = content.read(CHUNK)
            while chunk.startswith(BOM):
                chunk = chunk[len(BOM) :]
            while chunk:
                digest.update(chunk)
                chunk = content.read(CHUNK)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            # Damaged: the next reader reports it.
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
        return digest.hexdigest()


def _plain(file: BufferedReader) -> BufferedReader | gzip.GzipFile:
    content: BufferedReader | gzip.GzipFile = file
    for _ in range(MOST_LAYERS + 1):
        if content.peek(len(GZIP))[: len(GZIP)] != GZIP:
            break
        content = gzip.GzipFile(fileobj=content, mode="rb")
    return content


def find_twins(
    arriving: Mapping[Key, str], landed: Mapping[Key, str], staying: Iterable[Key]
) -> dict[Key, str]:
    """Return the arriving files that are twins, each with the part that keeps its content.

    Keys are (dataset, part), values digests of content. `landed` is what the parts hold now,
    `staying` the parts that this load does not touch. A part that holds the content already keeps
    it; otherwise the shortest name wins: `sales.csv`, not `sales (1).csv`.
    """
    holders = {(dataset, landed[dataset, part]): part for dataset, part in staying}
    twins: dict[Key, str] = {}
    for dataset, part in _by_claim(arriving, landed):
        is_unchanged = landed.get((dataset, part)) == arriving[dataset, part]
        holder = holders.setdefault((dataset, arriving[dataset, part]), part)
        if holder != part and not (is_unchanged and (dataset, holder) not in arriving):
            twins[dataset, part] = holder
    return twins


def _by_claim(arriving: Mapping[Key, str], landed: Mapping[Key, str]) -> Sequence[Key]:
    return sorted(arriving, key=lambda key: (landed.get(key) != arriving[key], len(key[1]), key[1]))
