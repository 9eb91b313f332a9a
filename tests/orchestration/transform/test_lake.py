"""Builds in the lake: what is whole, whose they are, which are removed."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.release.marts import SparkMarts
from orchestration.transform.errors import BuildError
from orchestration.transform.graph import ServedTable
from orchestration.transform.lake import claim_lake, drop_builds, open_build, table_dir
from pollux.contracts import Column
from pollux.runtime.settings import Settings

TYPES = {
    "number": "bigint",
    "label": "text",
    "price": "decimal(18, 2)",
    "ratio": "double precision",
    "is_new": "boolean",
    "day": "date",
    "seen_at": "timestamp",
    "rank": "integer",
}
VISITS = ServedTable(
    domain="store",
    name="visits",
    description="",
    columns=tuple(
        Column(name=name, data_type=kind, is_required=False, description="")
        for name, kind in TYPES.items()
    ),
    key=("number",),
    indexes=(),
    schema="warehouse_marts",
)
FIRST = (1, 'a "quoted", one', Decimal("1.10"), 0.5, True, date(2004, 3, 23), None, 7)
SECOND = (
    2,
    None,
    Decimal("-2.00"),
    1e-9,
    False,
    None,
    datetime.fromisoformat("2026-01-02 03:04:05.000678"),
    8,
)


def write(folder: Path, rows: list[tuple], part: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    types = [
        *(pa.int64(), pa.string(), pa.decimal128(18, 2), pa.float64(), pa.bool_(), pa.date32()),
        *(pa.timestamp("us"), pa.int32()),
    ]
    columns = [pa.array(c, t) for c, t in zip(zip(*rows, strict=True), types, strict=True)]
    # In another order than the contract's.
    names = [*reversed(TYPES)]
    table = pa.table(dict(zip(names, reversed(columns), strict=True)))
    pq.write_table(table, folder / f"part-0000{part}-c000.snappy.parquet")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, engine="spark")


def test_a_mart_is_read_from_all_its_files_in_the_order_of_its_key(settings: Settings) -> None:
    build = str(uuid4())
    folder = table_dir(settings, build, "warehouse_marts", "visits")
    write(folder, [SECOND], 0)
    write(folder, [FIRST], 1)
    (folder / "_SUCCESS").touch()
    target = settings.data_dir / "visits.parquet"
    with open_build(settings, build, [VISITS]) as opened:
        marts = SparkMarts(opened, settings, build)
        assert (marts.built_by(VISITS), marts.count(VISITS)) == (build, 2)
        marts.write_parquet(VISITS, str(target))
    written = duckdb.read_parquet(str(target))
    assert written.columns == list(TYPES)
    assert [str(kind) for kind in written.types] == [
        *("BIGINT", "VARCHAR", "DECIMAL(18,2)", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "INTEGER")
    ]
    assert written.fetchall() == [FIRST, SECOND]


def test_a_mart_without_its_mark_was_not_built(settings: Settings) -> None:
    build, other = str(uuid4()), str(uuid4())
    write(table_dir(settings, build, "warehouse_marts", "visits"), [FIRST], 0)
    for invocation in (build, other):
        with open_build(settings, invocation, [VISITS]) as opened:
            assert SparkMarts(opened, settings, invocation).built_by(VISITS) is None


def test_only_builds_are_removed_and_none_that_is_kept(settings: Settings) -> None:
    kept, old = str(uuid4()), str(uuid4())
    for name in (kept, old, "history", "notes of mine"):
        (settings.lake_dir / name / "warehouse_marts").mkdir(parents=True)
    drop_builds(settings, {kept})
    assert {path.name for path in settings.lake_dir.iterdir()} == {kept, "history", "notes of mine"}


def test_no_lake_is_shared_by_two_installations(tmp_path: Path) -> None:
    lake = str(tmp_path / "lake")
    first = Settings(data_dir=tmp_path / "first", engine="spark", lake_url=lake)
    second = Settings(data_dir=tmp_path / "second", engine="spark", lake_url=lake)
    claim_lake(first)
    claim_lake(first)
    with pytest.raises(BuildError, match=r"is the lake of the installation in .*first"):
        claim_lake(second)


def test_a_lake_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(
        data_dir=tmp_path / "data", engine="spark", lake_url=str(tmp_path / "file" / "lake")
    )
    with pytest.raises(BuildError, match=r"file/lake cannot be used: Not a directory"):
        claim_lake(settings)
