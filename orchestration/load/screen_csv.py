"""Checks a CSV file row by row: good rows go to a clean file, bad ones to rejects.

Belongs here: rows, and runs of lines that certainly fit. Does not belong here: what a value of a
type may look like (`pollux.types`); DuckDB.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from orchestration.load.column_rules import Rules
from orchestration.load.convert_csv import Binding
from orchestration.load.declarations import Column
from orchestration.load.errors import LoadError
from orchestration.load.examine import (
    CHUNK,
    LONGEST_RECORD,
    Header,
    Record,
    Watch,
    next_record,
)
from orchestration.load.rejects import REJECT_COLUMNS
from pollux.types import UnfitError, read_text, write_text

SHOWN = 3

# Values that certainly fit, to pass whole runs of lines at once; the rest is checked row by row.
_CERTAIN_DAY = (
    rb"[1-9][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    rb"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_CERTAIN = {
    "label": rb'(?:[^",\r\n\0]{1,255}+|"[^"\r\n\0]{0,255}+")',
    "boolean": rb"(?:true|false|[01])",
    "date": _CERTAIN_DAY,
    "timestamp": _CERTAIN_DAY
    + rb"(?:[ T](?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}(?:\.[0-9]{1,6}+)?+)?+",
}
# The digits before the point, and behind it.
_CERTAIN_DIGITS = {
    "id": (18, 0),
    "integer": (9, 0),
    "day": (5, 0),
    "money": (10, 2),
    "number": (15, 15),
}
_NEVER = rb"(?!)"
_CERTAIN_TEXT = rb'(?:[^",\r\n\0]{1,10000}+|"[^"\r\n\0]{0,10000}+")?+'


@dataclass
class Screened:
    """The result of screening a file.

    Rows read and rejected, lines read, the longest row in bytes, whether a row spans lines, the
    first rejects as (line, column, reason, raw), and whether it gave up at too many rejects.
    """

    read: int = 0
    rejected: int = 0
    lines: int = 0
    longest: int = 0
    spans_lines: bool = False
    first: list[tuple[int, str, str, str]] = field(default_factory=list)
    gave_up: bool = False


class Rejects:
    """Writes rejects to a CSV file, which is created at the first one."""

    def __init__(self, path: Path, file_name: str, give_up_after: int) -> None:
        """After `give_up_after` rejects the load is sure to fail, so reading stops."""
        self.path = path
        self.give_up_after = give_up_after
        self._file_name = file_name
        self._file: IO[str] | None = None
        self._writer: Any = None

    def add(self, found: Screened, line: int, column: str, reason: str, raw: bytes) -> None:
        """Record a rejected row; `line` is where it starts, from 1."""
        text = raw.rstrip(b"\r\n").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        found.rejected += 1
        found.gave_up = found.rejected >= self.give_up_after
        if len(found.first) < SHOWN:
            found.first.append((line, column, reason, text))
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            self._writer = csv.writer(self._file, lineterminator="\n")
            self._writer.writerow(REJECT_COLUMNS)
        self._writer.writerow((self._file_name, line, column, reason, text))

    def close(self) -> None:
        """Close the file, if any."""
        if self._file is not None:
            self._file.close()


def screen(
    path: Path,
    name: str,
    *,
    header: Header,
    binding: Binding,
    clean: Path,
    rejects: Rejects,
    watch: Watch,
    by_row: bool = False,
) -> Screened:
    """Write the rows of a CSV file that fit their types to `clean`, without a header.

    Rejects name the line where a row starts or, with `by_row`, the row's number, from 1.

    Raises:
        LoadError: for an unclosed quote, a record beyond `LONGEST_RECORD`, or mixed line ends.

    """
    found = Screened(lines=header.lines)
    certain = certain_lines(binding.columns, header.line_end)
    with path.open("rb") as source, clean.open("wb") as out:
        source.seek(header.end)
        buffer, position, at_end = b"", 0, False
        while not found.gave_up and not (at_end and position >= len(buffer)):
            end = _decodable(position, certain.match(buffer, position))
            if end > position:
                out.write(buffer[position:end])
                lines = buffer.count(b"\n", position, end)
                found.read += lines
                found.lines += lines
                position = end
                continue
            record = next_record(buffer, position, at_end=at_end)
            if record is None:
                rest = buffer[position:]
                if at_end or len(rest) > LONGEST_RECORD:
                    raise _endless(name, found.lines + 1, at_end=at_end)
                more = source.read(max(CHUNK, len(rest)))
                buffer, position, at_end = rest + more, 0, not more
                watch(source.tell())
                continue
            raw = buffer[position : record.end]
            if len(raw) > LONGEST_RECORD:
                raise _endless(name, found.lines + 1, at_end=False)
            _same_line_end(name, found.lines + 1, record, header)
            line = found.read + 1 if by_row else found.lines + 1
            found.lines += raw.count(b"\n")
            position = record.end
            if not raw.strip(b"\r\n"):
                continue
            found.read += 1
            found.longest = max(found.longest, len(raw))
            found.spans_lines |= raw.count(b"\n") > 1
            try:
                values = _values(record, raw, binding)
            except _ColumnError as error:
                rejects.add(found, line, error.column, error.reason, raw)
            else:
                out.write(_encoded(values) + (header.line_end or b"\n"))
    return found


def certain_lines(columns: Sequence[Column | None], line_end: bytes) -> re.Pattern[bytes]:
    """Compile the pattern of a run of lines that land unchanged."""
    fields = [_certain(column) if column else _CERTAIN_TEXT for column in columns]
    line = rb"(?![\r\n])" + b",".join(fields) + (re.escape(line_end) or rb"\n")
    return re.compile(rb"(?>" + line + rb")*+")


def _certain(column: Column) -> bytes:
    rules = column.rules
    if rules.values:
        pattern = b"|".join(re.escape(value.encode()) for value in rules.values)
    elif column.type in _CERTAIN_DIGITS:
        pattern = _certain_number(*_CERTAIN_DIGITS[column.type], rules)
    elif column.data_type.is_text and rules.required:
        # It may be a word for null.
        return _NEVER
    elif column.type == "text":
        return _CERTAIN_TEXT
    else:
        pattern = _CERTAIN[column.type]
    return rb"(?:" + pattern + (rb")" if rules.required else rb")?+")


def _certain_number(whole: int, decimals: int, rules: Rules) -> bytes:
    if rules.max_value is not None:
        # A number of fewer digits is below it.
        whole = min(whole, len(str(rules.max_value)) - 1)
    if whole < 1 or (rules.min_value or 0) > 0 or (rules.max_value or 0) < 0:
        return _NEVER
    if rules.decimals is not None:
        decimals = min(decimals, rules.decimals)
    sign = rb"-?" if rules.min_value is None else b""
    fraction = rb"(?:\.[0-9]{1,%d}+)?+" % decimals if decimals else b""
    return sign + rb"[0-9]{1,%d}+" % whole + fraction


class _ColumnError(Exception):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


def _values(record: Record, raw: bytes, binding: Binding) -> list[str]:
    """Return a record's values as they land, ignored columns blank."""
    columns, nulls = binding.columns, binding.nulls
    if b"\0" in raw:
        where = next((i for i, value in enumerate(record.fields) if b"\0" in value), 0)
        raise _ColumnError(_name(columns, where), "NUL byte")
    if record.problem:
        raise _ColumnError("", record.problem)
    if len(record.fields) != len(columns):
        raise _ColumnError("", f"{len(record.fields)} fields instead of {len(columns)}")
    values = []
    for given, column in zip(record.fields, columns, strict=True):
        try:
            text = given.decode("utf-8")
            value = read_text(column.type, text) if column and text not in nulls else None
            if column:
                column.rules.check(value)
        except UnicodeDecodeError:
            raise _ColumnError(column.name if column else "", "not UTF-8") from None
        except UnfitError as error:
            raise _ColumnError(column.name if column else "", str(error)) from None
        values.append("" if value is None else write_text(value))
    return values


def _name(columns: Sequence[Column | None], position: int) -> str:
    column = columns[position] if position < len(columns) else None
    return column.name if column else ""


def _encoded(values: Sequence[str]) -> bytes:
    quoted = ",".join('"' + value.replace('"', '""') + '"' if value else "" for value in values)
    return quoted.encode() or b'""'


def _decodable(start: int, run: re.Match[bytes] | None) -> int:
    """Return the end of the run's last whole line before the first byte that is not UTF-8."""
    text = run[0] if run else b""
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            return start + text.rfind(b"\n", 0, error.start) + 1
    return start + len(text)


def _endless(name: str, line: int, *, at_end: bool) -> LoadError:
    where = f"{name}, line {line}"
    if at_end:
        return LoadError(f"{where}: a quote opens that is never closed; mend the file")
    return LoadError(
        f"{where}: a row does not end within {LONGEST_RECORD >> 20} MiB; is a quote not closed?"
    )


def _same_line_end(name: str, line: int, record: Record, header: Header) -> None:
    if record.line_end not in (b"", header.line_end):
        kinds = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}
        raise LoadError(
            f"{name}: mixed line ends, {kinds[record.line_end]} at line {line} after "
            f"{kinds.get(header.line_end, 'none')}; write the file with one kind"
        )
