"""Files of rejected rows, one per part: where each stood, why it was rejected, its text.

Belongs here: reading them, and taking the texts out. Does not belong here: writing them, which the
conversion of a file does, and their place (`landing.rejects_path`).
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

REJECT_COLUMNS = ("file", "line", "column", "reason", "raw")

# A rejected line may have any length.
csv.field_size_limit(sys.maxsize)


def read_rejects(path: Path) -> Iterator[dict[str, str]]:
    """The rejected rows of a file by column; none where there is no file."""
    if path.exists():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            yield from csv.DictReader(file)


def blank_texts(path: Path) -> int:
    """Writes a file anew without the texts of its rows; returns how many it had."""
    unfinished = path.with_suffix(".new")
    texts = 0
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, REJECT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in read_rejects(path):
            texts += bool(row["raw"])
            writer.writerow(row | {"raw": ""})
    unfinished.replace(path)
    return texts
