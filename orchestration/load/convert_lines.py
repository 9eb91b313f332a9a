"""Format `lines`: turns a text file, line by line, into a clean file of one quoted column.

A dbt model parses the lines.
"""

from pathlib import Path

from orchestration.load.errors import LoadError
from orchestration.load.examine import BOM, LONGEST_RECORD, Watch
from orchestration.load.screen_csv import Rejects, Screened


def screen_lines(
    path: Path, name: str, *, column: str, clean: Path, rejects: Rejects, watch: Watch
) -> Screened:
    """Write every line, even a blank one, to `clean`; reject one with a NUL or not in UTF-8.

    Raises:
        LoadError: for mixed line ends and for a line beyond `LONGEST_RECORD`.

    """
    found = Screened()
    kind: bytes | None = None
    done = 0
    with path.open("rb") as source, clean.open("wb") as out:
        start = 0
        while source.read(len(BOM)) == BOM:
            start += len(BOM)
        source.seek(start)
        while not found.gave_up and (line := source.readline(LONGEST_RECORD + 2)):
            done += len(line)
            watch(done)
            text = line.removesuffix(b"\n")
            end = line[len(text) :]
            if end and text.endswith(b"\r"):
                text, end = text[:-1], b"\r\n"
            kind = kind or end
            if len(text) > LONGEST_RECORD:
                raise LoadError(
                    f"{name}, line {found.read + 1} is longer than {LONGEST_RECORD >> 20} MiB"
                )
            if end not in (b"", kind):
                raise LoadError(
                    f"{name}: mixed line ends, LF and CRLF at line {found.read + 1}; "
                    "write the file with one kind"
                )
            found.read += 1
            found.lines += len(end) > 0
            found.longest = max(found.longest, len(text))
            reason = _problem(text)
            if reason:
                rejects.add(found, found.read, column, reason, text)
            else:
                out.write(b'"' + text.replace(b'"', b'""') + b'"\n')
    return found


def _problem(text: bytes) -> str | None:
    if b"\0" in text:
        return "NUL byte"
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    return None
