"""Every spelling of the table of types, in CSV and Parquet files."""

import csv
import io
from datetime import datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from docs.spellings import SPELLINGS
from orchestration.load.convert import Job, convert
from orchestration.load.declarations import Column, Dataset
from orchestration.load.errors import LoadError
from orchestration.scans import scan_parquet
from pollux.types import TYPES, read_text


class Door:
    """Converts single files of a row number and a value."""

    def __init__(self, folder):
        self.folder = folder
        self.number = 0

    def convert(self, path, type_, nulls=()):
        """Values by row number, and reasons by line of the file."""
        self.number += 1
        work = self.folder / f"work{self.number}"
        work.mkdir()
        columns = (Column("row", "integer"), Column("value", type_))
        dataset = Dataset("d", "t", ("*",), "csv", (), columns, nulls=nulls)
        job = Job(path, path, dataset, work, "", False, 100, lambda **_: None)
        convert(job)
        landed = dict(duckdb.sql(f"from {scan_parquet([job.part])}").fetchall())
        rejects = {}
        if job.rejects.exists():
            csv.field_size_limit(10**7)
            with job.rejects.open(newline="", encoding="utf-8") as file:
                rejects = {int(row["line"]): row["reason"] for row in csv.DictReader(file)}
        return landed, rejects

    def csv(self, type_, texts, **more):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([["row", "value"], *enumerate(texts, 2)])
        path = self.folder / "t.csv"
        path.write_bytes(text.getvalue().encode())
        return self.convert(path, type_, **more)

    def parquet(self, type_, select):
        path = self.folder / "t.parquet"
        duckdb.sql(f"copy (select 1 as row, {select} as value) to '{path}' (format parquet)")
        return self.convert(path, type_)


@pytest.fixture
def door(tmp_path):
    return Door(tmp_path)


@pytest.mark.parametrize("type_", TYPES)
def test_csv(door, type_):
    spellings = list(SPELLINGS[type_].text)
    landed, rejects = door.csv(type_, [one.written for one in spellings])
    rows = dict(enumerate(spellings, 2))
    assert rejects == {row: one.reason for row, one in rows.items() if one.reason}
    assert landed == {row: one.value for row, one in rows.items() if not one.reason}


@pytest.mark.parametrize("type_", TYPES)
def test_csv_of_what_is_taken_alone(door, type_):
    """One read by DuckDB may do it all; it must not differ from the careful look."""
    for one in SPELLINGS[type_].text:
        if one.reason is None:
            assert door.csv(type_, [one.written] * 2) == ({2: one.value, 3: one.value}, {})
        else:
            assert door.csv(type_, [one.written] * 2) == ({}, {2: one.reason, 3: one.reason})


@pytest.mark.parametrize(
    ("type_", "spelling"),
    [
        pytest.param(name, spelling, id=f"{name}: {spelling.written}")
        for name, every in SPELLINGS.items()
        for spelling in every.parquet
    ],
)
def test_parquet(door, type_, spelling):
    if spelling.spoils_file:
        with pytest.raises(LoadError) as caught:
            door.parquet(type_, spelling.written)
        assert f"column value is {spelling.reason}" in str(caught.value)
        assert str(caught.value).endswith(f", not {type_}")
        return
    landed, rejects = door.parquet(type_, spelling.written)
    assert (landed, rejects) == (
        ({}, {1: spelling.reason}) if spelling.reason else ({1: spelling.value}, {})
    )


def test_every_type_has_a_column_that_it_does_not_mind_being_empty(door):
    for type_ in TYPES:
        assert door.parquet(type_, "NULL") == ({1: None}, {})
        assert door.csv(type_, ["", ""]) == ({2: None, 3: None}, {})


INT96 = {
    "2024-01-05 10:00:00.123456": None,
    "2024-01-05 10:00:00.123456789": "finer than a microsecond",
    "1969-12-31 23:59:59.999999": None,
    "1969-12-31 23:59:59.999999001": "finer than a microsecond",
    "2024-01-05 00:00:00": None,
}


def test_int96_times_keep_their_nanoseconds_until_they_are_judged(door):
    path = door.folder / "t.parquet"
    nanos = [
        duckdb.sql(f"select epoch_ns(TIMESTAMP_NS '{text}')").fetchall()[0][0] for text in INT96
    ]
    table = pa.table(
        {
            "row": range(len(nanos) + 1),
            "value": pa.array([*nanos, None], pa.timestamp("ns")),
            "other": pa.array([*nanos, None], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    landed, rejects = door.convert(path, "timestamp")
    expected = dict(enumerate(INT96.items()))
    assert rejects == {row + 1: reason for row, (_, reason) in expected.items() if reason}
    assert landed == {
        row: datetime.fromisoformat(text) for row, (text, reason) in expected.items() if not reason
    } | {len(nanos): None}


@pytest.mark.parametrize("year", [1000, 1500, 1676, 2263, 9999])
def test_int96_times_beyond_64_bits_of_nanoseconds(door, year):
    path = door.folder / "t.parquet"
    moment = datetime.fromisoformat(f"{year}-02-03 04:05:06.000007")
    table = pa.table({"row": [1], "value": pa.array([moment], pa.timestamp("us"))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    assert door.convert(path, "timestamp") == ({1: moment}, {})


def test_a_decimal_longer_than_duckdb_has_is_not_rounded(door):
    path = door.folder / "t.parquet"
    values = [
        Decimal("12.50"),
        Decimal("1234567890.10"),
        Decimal("12.5000000000000000000000000001"),
    ]
    table = pa.table({"row": [1, 2, 3], "value": pa.array(values, pa.decimal256(60, 30))})
    pq.write_table(table, path)
    landed, rejects = door.convert(path, "money")
    assert landed == {1: Decimal("12.50"), 2: Decimal("1234567890.10")}
    assert rejects == {3: "more than two decimals"}


@pytest.mark.parametrize("names", [["row", "value", "value"], ["row", "value", "VALUE"]])
def test_a_parquet_column_that_is_there_twice(door, names):
    path = door.folder / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([n]) for n in range(3)], names=names), path)
    with pytest.raises(LoadError, match="has column value more than once; keep one"):
        door.convert(path, "integer")


def test_columns_that_nobody_asked_for_may_be_anything_and_twice(door):
    path = door.folder / "t.parquet"
    arrays = [pa.array([[1]]), pa.array([1]), pa.array([7]), pa.array([b"\xff"]), pa.array([2])]
    names = ["more", "row", "value", "more", "value_1"]
    pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
    assert door.convert(path, "integer") == ({1: 7}, {})


def test_bytes_that_are_no_text(door):
    path = door.folder / "t.parquet"
    pq.write_table(pa.table({"row": [1], "value": [b"\xff"]}), path)
    with pytest.raises(LoadError, match="is Parquet that cannot be read"):
        door.convert(path, "text")


@pytest.mark.parametrize("type_", TYPES)
def test_words_for_null_count_where_the_declaration_names_them(door, type_):
    nulls = ("NA", "NULL", "\\N")
    good = next(one for one in SPELLINGS[type_].text if one.reason is None)
    texts = [*nulls, good.written, "", "x" if type_ == "text" else good.written]
    landed, rejects = door.csv(type_, texts, nulls=nulls)
    assert rejects == {}
    assert landed == dict(
        enumerate([None] * 3 + [good.value, None, read_text(type_, texts[-1])], 2)
    )
    # The same after a careful look.
    landed, rejects = door.csv(type_, [*texts, "\0"], nulls=nulls)
    assert rejects == {8: "NUL byte"}
    assert [landed[row] for row in (2, 3, 4, 6)] == [None] * 4
    assert landed[5] == good.value
