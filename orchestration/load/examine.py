"""What a file's bytes show: its header, and its number of records.

Belongs here: reading bytes and counting, independently of DuckDB. Does not belong here: types, and
which format a file has (`formats`).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestration.load.errors import LoadError

BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 20
BLOCK = 1 << 18
LONGEST_RECORD = 16 << 20

Watch = Callable[[int], None]

_DOT = ord(".")
_NINE = ord("9")
_PLUS = ord("+")
_E = ord("e")
_DIGITS_AND_DOT = bytes(48 if chr(i) in "0123456789." else i for i in range(256))
_TOO_LONG = b"0" * 17
_UNDERSCORE = re.compile(rb"\d_\d")
_TINY = re.compile(rb"[eE]-\d{3}")
_BLANK_BY_QUOTE = re.compile(rb'(?:[,\n]|^)[ ]+"|"[ ]+(?:[,\r\n]|$)')

_FIELD = re.compile(rb'(?:"((?:[^"]++|"")*+)")?+([^,\r\n]*+)(,|\r\n|\n|\r|)')


@dataclass(frozen=True)
class Record:
    """One CSV record: its fields without quotes, its end, its line end, and any problem."""

    fields: list[bytes]
    end: int
    line_end: bytes
    problem: str | None


@dataclass(frozen=True)
class Header:
    """The first record of a CSV file: names as written, its end, and the lines it spans."""

    names: list[str]
    end: int
    lines: int
    line_end: bytes
    leading_blank: bool


@dataclass(frozen=True)
class Counts:
    """The result of one pass over a CSV file's bytes.

    `records` includes the header. `doubt` says why a typed read by DuckDB could differ from
    screening row by row (None: it cannot).
    """

    newlines: int
    records: int
    commas: int
    doubt: str | None


def read_header(path: Path, name: str) -> Header:
    """Return the first record that is not blank.

    Raises:
        LoadError: when there is none or it cannot be read as a header.

    """
    with path.open("rb") as file:
        buffer = file.read(CHUNK)
    start = 0
    # A file saved twice with a byte order mark has two.
    while buffer.startswith(BOM, start):
        start += len(BOM)
    first = start
    while buffer[first : first + 1] in (b"\r", b"\n"):
        first += 1
    if first == len(buffer):
        raise LoadError(f"{name} has no header line")
    record = next_record(buffer, first, at_end=len(buffer) < CHUNK)
    if record is None or b"\0" in buffer[first : record.end]:
        raise LoadError(f"{name} has no readable header line; is it a CSV file?")
    # Text after a quote: the separator is not a comma, which `bind` reports.
    whole = [buffer[first : record.end].replace(b'"', b"")]
    try:
        fields = whole if record.problem else record.fields
        names = [field.decode("utf-8").strip() for field in fields]
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise LoadError(
            f"{name}: the header line is not UTF-8 (byte 0x{byte:02X}); save the file as UTF-8"
        ) from error
    if record.line_end == b"\r":
        raise LoadError(f"{name}: lines end in CR alone; write the file with LF or CRLF")
    lines = buffer.count(b"\n", 0, record.end)
    return Header(names, record.end, lines, record.line_end, leading_blank=first > start)


def next_record(buffer: bytes, start: int, *, at_end: bool) -> Record | None:
    """Read one record as Python's csv module would, with text after a closing quote a problem.

    Returns None when the record does not end within the buffer; with `at_end` this means that a
    quote is never closed.
    """
    fields: list[bytes] = []
    problem = None
    position = start
    separator = b","
    while separator == b",":
        match = _FIELD.match(buffer, position)
        assert match is not None  # noqa: S101 - the pattern matches the empty text
        quoted, bare, separator = match.groups()
        position = match.end()
        if quoted is None:
            if bare.startswith(b'"'):
                return None
            fields.append(bare)
        else:
            fields.append(quoted.replace(b'""', b'"'))
            problem = "text after a closing quote" if bare else problem
    # A quote at the buffer's end may be half of a doubled one, a CR half of a CRLF.
    if not at_end and separator in (b"", b"\r") and position == len(buffer):
        return None
    return Record(fields, position, separator, problem)


def count(path: Path, watch: Watch, *, has_ids: bool = False) -> Counts:
    """Count a CSV file's records and commas outside quotes, and look for doubts.

    `watch` receives the bytes read so far; with `has_ids` an exponent is a doubt.
    """
    newlines = returns = pairs = records = commas = done = 0
    in_quotes = False
    doubt: str | None = None
    last = b""
    for block in _blocks(path):
        done += len(block)
        watch(done)
        newlines += _occurrences(block, 10)
        if b"\r" in block:
            returns += block.count(b"\r")
            pairs += block.count(b"\r\n")
        doubt = doubt or _doubt(block, has_ids)
        outside = block
        if b'"' in block or in_quotes:
            pieces = block.split(b'"')
            outside = b"".join(pieces[1 if in_quotes else 0 :: 2])
            in_quotes ^= len(pieces) % 2 == 0
            if (b' "' in block or b'" ' in block) and _BLANK_BY_QUOTE.search(block):
                doubt = doubt or "a blank beside a quote"
        records += _occurrences(outside, 10)
        commas += _occurrences(outside, 44)
        last = block[-1:]
    if records != newlines:
        doubt = doubt or "a line end within quotes"
    if last != b"\n":
        records += 1
    if in_quotes:
        doubt = doubt or "quotes do not pair"
    if returns and not returns == pairs == newlines:
        doubt = doubt or "line ends of several kinds"
    return Counts(newlines, records, commas, doubt)


def _doubt(block: bytes, has_ids: bool) -> str | None:
    """Name the first thing in whole lines that DuckDB might read differently.

    Doubles tell apart decimals of up to 15 digits; DuckDB reads 1_0 as 10, +-5 as -5, 1e-400
    as 0, and accepts NUL.
    """
    if b"\0" in block:
        return "a NUL byte"
    if b"+" in block and b"+-" in block:
        return "two signs"
    view = np.frombuffer(block, np.uint8)
    if _has_long_word(view) and _TOO_LONG in block.translate(_DIGITS_AND_DOT):
        return "more than 15 digits"
    if view.max() <= _NINE:
        return None
    if has_ids and _has_exponent(view):
        return "an exponent"
    return _doubt_in_words(block)


def _doubt_in_words(block: bytes) -> str | None:
    if (b"e-" in block or b"E-" in block) and _TINY.search(block):
        return "a very small number"
    if b"_" in block and _UNDERSCORE.search(block):
        return "an underscore between digits"
    return None if block.isascii() or _is_utf8(block) else "a byte that is not UTF-8"


def _has_exponent(view: npt.NDArray[np.uint8]) -> bool:
    """Whether there is an e after a digit or a dot, and before a digit or a sign."""
    found = np.flatnonzero((view[1:-1] | 32) == _E) + 1
    before, after = view[found - 1], view[found + 1]
    ends = (before >= _DOT) & (before <= _NINE)
    return bool((ends & (after >= _PLUS) & (after <= _NINE)).any())


def _has_long_word(view: npt.NDArray[np.uint8]) -> bool:
    """Whether 17 bytes in a row are all at or above the dot in ASCII, unlike comma and minus."""
    runs = view >= _DOT
    for step in (1, 2, 4, 8, 1):
        runs = runs[step:] & runs[:-step]
    return bool(runs.any())


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _occurrences(block: bytes, byte: int) -> int:
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == byte))


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield blocks of whole lines that fit the CPU cache; the last may lack its line end."""
    with path.open("rb") as file:
        while chunk := file.read(BLOCK):
            yield chunk if chunk.endswith(b"\n") else chunk + file.readline(LONGEST_RECORD)
