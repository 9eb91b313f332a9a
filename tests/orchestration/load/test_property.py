"""Random tables with random dirt: what lands is what a plain Python reader would land, whichever
path the loader took."""

import csv
import datetime as dt
import re
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.load import convert_csv, examine
from orchestration.load.convert import Job, convert
from orchestration.load.declarations import Column, Dataset
from orchestration.load.errors import LoadError

pytestmark = pytest.mark.integration

TYPES = ("id", "integer", "text", "label", "money", "number", "boolean", "date", "day")
TYPES += ("timestamp",)
NAMES = tuple(f"col_{type_}" for type_ in TYPES)
DATASET = Dataset(
    domain="d",
    name="t",
    files=("t*.csv",),
    format="csv",
    key=(),
    columns=tuple(Column(name, type_) for name, type_ in zip(NAMES, TYPES, strict=True)),
)


class RefusedError(Exception):
    """The oracle refuses the whole file."""


def oracle_records(data: bytes) -> list[tuple[int, bytes, list[bytes] | None, bytes]]:
    """Split into (line, raw, fields or None, line end), one byte after the other."""
    records, fields, field, raw = [], [], b"", b""
    state, bad, line, start = "start", False, 1, 1
    i = 0
    while i < len(data):
        c = data[i : i + 1]
        if state == "quoted":
            raw += c
            line += c == b"\n"
            if c != b'"':
                field += c
            elif data[i + 1 : i + 2] == b'"':
                field, raw, i = field + b'"', raw + b'"', i + 1
            else:
                state = "closed"
        elif c in (b"\n", b"\r"):
            end = b"\r\n" if data[i : i + 2] == b"\r\n" else c
            i += len(end) - 1
            records.append((start, raw, None if bad else [*fields, field], end))
            line += end != b"\r"
            fields, field, raw, state, bad, start = [], b"", b"", "start", False, line
        elif c == b",":
            fields, field, state, raw = [*fields, field], b"", "start", raw + c
        elif c == b'"' and state == "start":
            state, raw = "quoted", raw + c
        else:
            bad = bad or state == "closed"
            field, raw, state = field + c, raw + c, "closed" if state == "closed" else "bare"
        i += 1
    if state == "quoted":
        raise RefusedError
    if raw:
        records.append((start, raw, None if bad else [*fields, field], b""))
    return records


def oracle_value(text: str, type_: str):  # noqa: PLR0911, PLR0912
    """Return the value that lands; raise ValueError for a reject."""
    if text == "":
        return None
    if type_ in ("text", "label"):
        if len(text) > {"text": 100_000, "label": 255}[type_]:
            raise ValueError(text)
        return text
    text = text.strip(" \t\n\r\v\f")
    if text == "":
        return None
    if type_ in ("id", "integer", "money", "number"):
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII):
            raise ValueError(text)
        value = Decimal(text)
        if type_ == "number":
            if abs(value) >= 10**15 or (float(text) == 0 and value != 0):
                raise ValueError(text)
            return float(text)
        if type_ == "id" and "e" in text.lower():
            raise ValueError(text)
        if value == 0:
            return 0
        if value.adjusted() > 30 or value.as_tuple().exponent < -5000:
            raise ValueError(text)
        if type_ in ("id", "integer"):
            least, most = {"id": (-(2**63), 2**63 - 1), "integer": (-999999999, 999999999)}[type_]
            if int(value) != value or not least <= value <= most:
                raise ValueError(text)
            return int(value)
        if int(value.scaleb(2)) != value.scaleb(2) or abs(value) >= 10**10:
            raise ValueError(text)
        return value
    if type_ == "boolean":
        yes = ("true", "t", "1", "yes", "y", "1.0")
        no = ("false", "f", "0", "no", "n", "0.0")
        if text.lower() not in yes + no:
            raise ValueError(text)
        return text.lower() in yes
    if type_ == "day" and not re.match(r"\d{4}-", text):
        number = oracle_value(text, "integer")
        dt.date(2004, 3, 22) + dt.timedelta(days=number)  # OverflowError outside of years 1 to 9999
        if number < (dt.date(1000, 1, 1) - dt.date(2004, 3, 22)).days:
            raise ValueError(text)
        return number
    if type_ == "day":
        return (oracle_value(text, "date") - dt.date(2004, 3, 22)).days
    if type_ == "date":
        if not re.fullmatch(
            r"[1-9]\d{3}-\d\d-\d\d([Tt ]00:00(:00(\.0+)?)?( ?([Zz]|UTC|[+-]00(:?00)?))?)?",
            text,
            re.ASCII,
        ):
            raise ValueError(text)
        return dt.date.fromisoformat(text[:10])
    if re.search(r"\.\d{7}", text) or not re.fullmatch(
        r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?([Zz]|UTC|[+-]\d\d(:?\d\d)?))?)?",
        text,
        re.ASCII,
    ):
        raise ValueError(text)
    text = re.sub(r" ?(?:UTC|Z)$", "Z", text.upper())
    text = re.sub(r" ([+-])", r"\1", text)
    text = re.sub(r"\.(\d+)", lambda m: "." + m[1].ljust(6, "0"), text)
    moment = dt.datetime.fromisoformat(text)
    moment = moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
    if moment.year < 1000:
        raise ValueError(text)
    return moment


def oracle_row(raw: bytes, fields: list[bytes] | None):
    if fields is None or len(fields) != len(TYPES) or b"\0" in raw:
        raise ValueError(raw)
    return tuple(map(oracle_value, [field.decode("utf-8") for field in fields], TYPES))


def oracle(data: bytes):
    """Return (landed rows, lines of rejects)."""
    records = oracle_records(data.removeprefix(b"\xef\xbb\xbf"))
    kind = next((end for _, raw, _, end in records if raw), b"")
    if any(end not in (b"", kind) for _, _, _, end in records):
        raise RefusedError
    records = [record for record in records if record[1]]
    landed, rejected = [], []
    for line, raw, fields, _ in records[1:]:
        try:
            landed.append(oracle_row(raw, fields))
        except (ValueError, OverflowError):
            rejected.append(line)
    return landed, rejected


def run_loader(data: bytes):
    """Return (landed rows, lines of rejects) of the loader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(data)
        work = Path(folder) / "work"
        work.mkdir()
        job = Job(path, path, DATASET, work, "", False, 100, lambda **_: None)
        read, rejected = convert(job)
        landed = duckdb.sql(f"FROM read_parquet('{job.part}')").fetchall()
        lines = []
        if job.rejects.exists():
            with job.rejects.open(newline="", encoding="utf-8") as file:
                lines = [int(row["line"]) for row in csv.DictReader(file)]
        assert (read, rejected) == (len(landed) + len(lines), len(lines))
        return landed, lines


def outcome(function, data):
    try:
        return function(data)
    except (RefusedError, LoadError) as error:
        text = str(error)
    assert "fault of the loader" not in text
    assert "could not be read back" not in text
    return "refused"


EARLIEST = dt.datetime.fromisoformat("1000-01-02")
CLEAN = {
    "id": st.integers(-(2**63), 2**63 - 1).map(str)
    | st.integers(-(10**6), 10**6).map(str)
    | st.sampled_from(["2.0", "007", "+5", "-0", "9007199254740993", "5."]),
    "integer": st.integers(-999999999, 999999999).map(str)
    | st.integers(-(10**6), 10**6).map(str)
    | st.sampled_from(["2.0", "007", "+5", "1e3", "-0", "999999999", "5."]),
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)
    | st.sampled_from(
        ["plain", 'inch"', ' "x"', '"', "a_b 1_0", "x,y", "l\nm", "l\r\nm", " ", "ü"]
    ),
    "label": st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)
    | st.sampled_from(["plain", "x" * 255, "ä" * 255, "x,y", "5E3"]),
    "money": st.decimals(-(10**6), 10**6, places=2).map(str)
    | st.sampled_from(["0.1", "9999999999.99", "1.50000", "12e-1", ".5", "1e2"]),
    "number": st.floats(-9e14, 9e14).map(repr)
    | st.sampled_from(["123456789012345.678", "1E+5", "+.5"]),
    "boolean": st.sampled_from(["true", "False", "T", "f", "1", "0", "YES", "no"]),
    "date": st.dates(dt.date(1000, 1, 1)).map(str)
    | st.dates(dt.date(1000, 1, 1)).map(lambda d: f"{d} 00:00:00")
    | st.sampled_from(
        [
            "2024-02-29 00:00:00 UTC",
            "2024-02-29T00:00:00Z",
            "2024-02-29T00:00",
            "9999-12-31T00:00:00",
        ]
    ),
    "day": st.integers(-366784, 2920397).map(str)
    | st.dates(dt.date(1000, 1, 1)).map(str)
    | st.sampled_from(["708.0", "007", "-0", "2024-02-29 00:00:00", "1e3", "-9999999", "2920398"]),
    "timestamp": st.datetimes(EARLIEST).map(str)
    | st.datetimes(EARLIEST).map(lambda d: d.isoformat() + "Z")
    | st.datetimes(EARLIEST).map(lambda d: d.isoformat(" ", "seconds") + "+02:00")
    | st.sampled_from(
        [
            "2024-02-29",
            "2024-02-29T23:59",
            "2024-02-29 10:00:00-0330",
            "2024-02-29 01:00:00 UTC",
            "2024-02-29 01:00 -03",
        ]
    ),
}
DIRT = [
    "", " ", "\t", "x", "1.239", "4.6", "1.005", "9999999999999999999999", "1e400", "1e-400",
    "nan", "inf",    "-Infinity", "1_0", "1__0", "+-5", "--5", "0x10", "1,5", "1e", ".", "-",
    "4.00000000000000001",
    "0.100000000000000005", "9007199254740993.0", "99999999999999.999", " 7", "7\t", "\v3", "y",
    "n",
    "on", "2",    "2024-02-30", "2024-1-1", "20240101", "infinity", "epoch", "2024-01-01 24:00:00",
    "2024-01-01 00:00:60", "2024-01-01 00:00:00.1234567", "2024-01-01T00:00:00z",
    "2024-01-01TT00:00:00", "2024-01-01 00:00:00+25:00", "0000-01-01", "10000-01-01", "٣", "5 ",
    "0001-01-01 00:00:00+05:00", "0e99999", "1e-99999", "3e0_1", "1'000", "$5", "5%",
    "0044-01-01 (BC)", "3000000000", "10000000000", "1e15", "999999999999999.9", "2.69849E+10",
    "x" * 256, "ä" * 256,
    "0999-12-31", "0999-12-31 00:00:00", "2024-02-29 00:00:01", "2024-02-29 10:00:00",
    "2024-02-29 00:00:00+02:00", "2024-02-29T00:00:00T", "\u200b7", "NA",
]  # fmt: skip
RAW_DIRT = st.sampled_from(
    [
        b"\0",
        b"\xff",
        b'"',
        b'"x"y',
        b' "x"',
        b'"x" ',
        b'\t"x"',
        b'a"b',
        b"\r",
        b",",
        b"\xc3",
        b"\x1c",
        b"\xef\xbb\xbf",
    ]
)


@st.composite
def fields(draw, type_, dirty):
    kind = draw(st.integers(0, 19))
    if dirty and kind == 0:
        return draw(RAW_DIRT)
    text = draw(st.sampled_from(DIRT) if (dirty and kind < 3) else CLEAN[type_])
    must = any(c in text for c in ',"\r\n')
    if must or draw(st.integers(0, 5)) == 0:
        text = '"' + text.replace('"', '""') + '"'
    return text.encode()


@st.composite
def files(draw):
    dirty = draw(st.booleans())
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        row = [draw(fields(type_, dirty)) for type_ in TYPES]
        if dirty and draw(st.integers(0, 15)) == 0:
            row = row[: draw(st.integers(0, len(row)))]
        lines.append(b",".join(row) + (b"," if dirty and draw(st.integers(0, 15)) == 0 else b""))
        if dirty and draw(st.integers(0, 15)) == 0:
            lines.append(b"")
        if dirty and draw(st.integers(0, 40)) == 0:
            lines.append(b"x\n" if end == b"\r\n" else b"x\r\ny")
    body = end.join([",".join(NAMES).encode(), *lines])
    bom = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
    return bom + body + draw(st.sampled_from([b"", end]))


def same(left, right):
    if "refused" in (left, right):
        return left == right
    rows = [tuple(map(plain, row)) for row in left[0]]
    return rows == [tuple(map(plain, row)) for row in right[0]] and left[1] == right[1]


def plain(value):
    return (type(value).__name__ == "float", value)


@settings(max_examples=150, suppress_health_check=list(HealthCheck), print_blob=True)
@given(files())
def test_lands_what_a_plain_reader_lands(data):
    expected = outcome(oracle, data)
    assert same(outcome(run_loader, data), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert_csv, "_rows", _count_then_doubt(convert_csv._rows))
        assert same(outcome(run_loader, data), expected)


def _count_then_doubt(rows):
    """The fast path, which reads with DOUBLE, is never believed."""

    def counted(connection, query):
        landed = rows(connection, query)
        return -1 if "header = true" in query else landed

    return counted


@settings(max_examples=300)
@given(files(), st.integers(1, 40), st.integers(1, 40))
def test_counts_do_not_depend_on_where_blocks_end(data, one, other):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(data)
        found = []
        for block in (one, other):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(examine, "BLOCK", block)
                counts = examine.count(path, lambda _: None)
                found.append((counts.newlines, counts.records, counts.commas))
        assert found[0] == found[1]
