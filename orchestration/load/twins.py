"""Twins: files of one dataset with the same content under different names, which counts once.

Belongs here: what counts as the same content, and which of several files keeps its name. Does not
belong here: what is told of the others.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"

Key = tuple[str, str]


def content_sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes; of what is packed in it where it is gzip."""
    with path.open("rb") as file:
        is_packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if is_packed:
            digest = hashlib.sha256()
            try:
                with gzip.open(file) as plain:
                    while chunk := plain.read(CHUNK):
                        digest.update(chunk)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                # Damaged: whoever reads it next says so.
                file.seek(0)
            else:
                return digest.hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_twins(
    arriving: Mapping[Key, str], landed: Mapping[Key, str], staying: Iterable[Key]
) -> dict[Key, str]:
    """Return the arriving files that are twins, each with the name that holds its content.

    Keys are (dataset, part), values digests of content. `landed` is what the parts hold now,
    `staying` those that this load does not touch. What holds its content already keeps it, then
    the shortest name does: `sales.csv`, not `sales (1).csv`.
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
