"""Generated odd files: each lands equal to its source, or is refused with a reason.

Oddities are drawn from lists of names, places and contents. A new kind is a new entry.
"""

import gzip
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from orchestration.load import landing
from orchestration.load.choose import is_backup, is_unfinished
from orchestration.load.errors import LoadError
from orchestration.scans import scan_parquet
from tests.orchestration.load.conftest import HEADER, Shop
from tests.orchestration.load.test_take import Inbox, a_folder

Rows = list[tuple[int, str]]

PIECES = [
    *("-", "2024-02-29", " (1)", "~", ".", "..", "%41", "=", "$HOME", "`id`", "'", '"', ";--", "#"),
    *("[1]", "*", "?", "{a,b}", "\\", "\\x", "a\\b", ",", "&", "|", "<>", "country=Peru"),
    *("\n", "\t", "\r", "\x01", "\x1b[31m", "\x7f", "\xa0", "\u200b", "\u202e", "\u2028", "\ufeff"),
    *("ä", "a\u0308", "ß", "İ", "日本", "🦘", "👨\u200d👩", "\udcff\udcfe", "~0123456789ab"),
    *("x" * 120, "ä" * 90, "\udcfc" * 130, "🦘" * 50),
]  # fmt: skip
ENDINGS = [".csv", ".csv", ".csv", ".CSV", ".csv.gz", ".csv.zst", ".csv.1", ".parquet", ".csv~",
           ".csv.part", ".csv.bak", ".doc", ""]  # fmt: skip
FOLDERS = ["in", "-in", "a=b", "M\udcfcnchen", "two\nlines", "*[x]", "file:", "s3:", "~", "a\\b"]


def csv(rows: Rows) -> bytes:
    return HEADER + b"".join(f"{number},{text},1.50\n".encode() for number, text in rows)


# How rows become bytes, and whether they are to land as they are.
CONTENTS: dict[str, tuple[Callable[[Rows], bytes], bool]] = {
    "plain": (csv, True),
    "gzip": (lambda rows: gzip.compress(csv(rows)), True),
    "CRLF": (lambda rows: csv(rows).replace(b"\n", b"\r\n"), True),
    "byte order mark": (lambda rows: b"\xef\xbb\xbf" + csv(rows), True),
    "no line end": (lambda rows: csv(rows)[:-1], True),
    "empty": (lambda _rows: b"", False),
    "binary": (lambda _rows: bytes(4096), False),
    "cut gzip": (lambda rows: gzip.compress(csv(rows))[:-9], False),
    "a column less": (lambda rows: csv(rows).replace(b",amount", b""), False),
    "mixed line ends": (lambda rows: csv(rows) + b"1,x,1\r\n", False),
    "an open quote": (lambda rows: csv(rows) + b'1,"x,1\n', False),
    "all rejects": (lambda rows: csv([]) + b"x,y,z\n" * len(rows), False),
}

# What lies there instead of a file; `None` for the file.
PLACES: dict[str, Callable[[Path], object] | None] = {
    "file": None,
    "link out": lambda path: path.symlink_to(path.parent.parent / "outside.csv"),
    "link to a secret": lambda path: path.symlink_to("/etc/passwd"),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to nothing": lambda path: path.symlink_to("gone"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
    "folder": a_folder,
    "empty folder": Path.mkdir,
}


@dataclass
class Odd:
    """A file to be made; `rows` are None where nothing of it is to land."""

    name: str
    place: str
    content: bytes
    rows: Rows | None

    def make(self, folder: Path) -> Path:
        path = folder / self.name
        make = PLACES[self.place]
        if make is None:
            path.write_bytes(self.content)
        else:
            make(path)
        return path


def draw(rng: random.Random, number: int) -> Odd:
    """One odd file; no two have a name or rows in common."""
    start = rng.choice(["sales", "sales", "sales", "sales", "SALES", "-sales", " sales", "other"])
    middle = "".join(rng.sample(PIECES, rng.randrange(4)))
    ending = f"{number}{rng.choice(ENDINGS)}"
    room = 255 - len(os.fsencode(ending))
    name = os.fsdecode(os.fsencode(start + middle)[:room]) + ending
    place = rng.choice([*PLACES, *["file"] * 3 * len(PLACES)])
    content = rng.choice([*CONTENTS, *["plain"] * len(CONTENTS)])
    rows = [(number * 1000 + n, f"text {n}") for n in range(rng.randrange(1, 300))]
    make, lands = CONTENTS[content]
    is_sales = name.lower().startswith("sales") and (
        ".csv" in name.lower() or ".parquet" in name.lower()
    )
    lands = lands and is_sales and place == "file"
    lands = lands and not is_backup(name) and not is_unfinished(name)
    return Odd(name, place, make(rows), rows if lands else None)


def check_landed(shop: Shop, odd: Odd) -> None:
    """What landed of a file is what it holds, or nothing where it was refused."""
    parts = {part.name: part for part in landing.domain_parts(shop.settings, "shop")}
    part = parts.get(landing.part_name(odd.name))
    if odd.rows is None:
        assert part is None, ascii(odd)
        return
    assert part is not None, ascii(odd)
    scan = scan_parquet([part.path])
    found = duckdb.sql(f"select id, name from {scan} order by id").fetchall()
    assert found == odd.rows, ascii(odd)


class Watched(Inbox):
    """A shop beside which something lies that nobody is to touch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.load(csv([(1, "stays")]), "sales-stays.csv")
        self.outside = [folder / "outside.csv", self.drop.parent / "outside.csv"]
        for path in self.outside:
            path.write_bytes(csv([(2, "outside")]))
        self.before = self.untouched()

    def untouched(self) -> list[object]:
        part = self.settings.landing_dir / "shop" / "sales" / "sales-stays.csv.parquet"
        files = [part, *self.outside, Path("/etc/passwd")]
        return [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]


def odd_files(count: int) -> list[Odd]:
    random_seed = random.SystemRandom().randrange(10**6)
    print("random seed", random_seed)
    rng = random.Random(random_seed)
    return [draw(rng, number) for number in range(1, count + 1)]


COUNTS = [12, pytest.param(500, marks=pytest.mark.endurance)]


@pytest.mark.parametrize("count", COUNTS)
def test_odd_files_in_the_inbox(tmp_path, count):
    shop = Watched(tmp_path)
    made = [(odd, odd.make(shop.drop)) for odd in odd_files(count)]
    taken = shop.take()
    refused = 0
    aside = list((shop.settings.inbox_dir / "failed" / "shop").glob("*"))
    reasons = [path for path in aside if path.name.endswith(".reason.txt")]
    for odd, path in made:
        check_landed(shop, odd)
        kept = shop.settings.inbox_dir / "loaded" / "shop" / odd.name
        stays = os.path.lexists(path)
        assert stays == (is_unfinished(odd.name) or ("folder" in odd.place and not path.suffix))
        if odd.rows is not None:
            assert kept.read_bytes() == odd.content
        elif not stays:
            refused += 1
            assert not os.path.lexists(kept)
    assert refused == len(taken.broken) == len(reasons) == len(aside) / 2
    for text in [*taken.broken, *taken.notes, *(path.read_text() for path in reasons)]:
        assert text
        assert all(line.isprintable() for line in text.splitlines()), ascii(text)
    assert shop.take().broken == []
    assert shop.untouched() == shop.before


@pytest.mark.parametrize("count", COUNTS)
def test_odd_files_in_folders_of_their_own(tmp_path, count):
    shop = Watched(tmp_path)
    rng = random.Random(count)
    for number, odd in enumerate(odd_files(count)):
        folder = tmp_path.joinpath("files", str(number), *rng.sample(FOLDERS, rng.randrange(1, 3)))
        folder.mkdir(parents=True)
        (folder.parent / "outside.csv").write_bytes(csv([(2, "outside")]))
        odd.make(folder)
        reason = ""
        try:
            shop.load(from_=folder)
        except LoadError as error:
            reason = str(error)
        assert (reason == "") == (odd.rows is not None), (ascii(odd), reason)
        assert all(line.isprintable() for line in reason.splitlines()), ascii(reason)
        check_landed(shop, odd)
    assert shop.untouched() == shop.before
