"""Files of rejected rows, one per part: where each stood, why it was rejected, its text.

Belongs here: reading them, and taking the texts out. Does not belong here: writing them, which the
conversion of a file does, and their place (`landing.rejects_path`).
"""

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

REJECT_COLUMNS = ("file", "line", "column", "reason", "raw")

# A rejected line may have any length.
csv.field_size_limit(sys.maxsize)


def read_rejects(path: Path) -> Iterator[dict[str, str]]:
    """The rejected rows of a file by column; none where there is no file."""
    if path.exists():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            yield from csv.DictReader(file)


def blank_texts(path: Path, is_blanked: Callable[[str], bool] = bool) -> int:
    """Writes a file anew without the texts of its rows, or some; returns how many were removed."""
    unfinished = path.with_suffix(".new")
    texts = 0
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, REJECT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in read_rejects(path):
            is_removed = bool(row["raw"]) and is_blanked(row["raw"])
            texts += is_removed
            writer.writerow(row | ({"raw": ""} if is_removed else {}))
    unfinished.replace(path)
    return texts
