"""The marts, row by row: one engine against the other, and both against a plain pandas port."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from benchmarks.household_pandas import household_marts
from orchestration.load.declarations import read_datasets
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.build import build
from orchestration.transform.dbt import read_run, target_dir
from orchestration.transform.graph import ServedTable, served_tables
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR

RATIO_TOLERANCE = 1e-9

Source = tuple[Path, Callable[[str], Settings]]


@pytest.fixture(scope="module", params=["sample", "real"])
def source(
    request: pytest.FixtureRequest, short_tmp: Path, built: Settings, sample_files: Path
) -> Source:
    """A folder of raw files, and what builds and releases them on an engine, once each."""
    is_real = request.param == "real"
    files = sample_files
    if is_real:
        files = request.getfixturevalue("realdata") / "complete_journey"
    done: dict[str, Settings] = {} if is_real else {"duckdb": built}

    def installation(engine: str) -> Settings:
        if engine not in done:
            settings = Settings(data_dir=short_tmp / f"{request.param}_{engine}", engine=engine)
            report = load(settings, domain="household", from_=files, sample=not is_real)
            assert all(file.rows_rejected == 0 for file in report.files)
            build(settings, ["household"]).raise_if_failed()
            release(settings, "household")
            done[engine] = settings
        return done[engine]

    return files, installation


def released(settings: Settings) -> dict[str, tuple[ServedTable, pd.DataFrame]]:
    """The current release of an installation, read from its Parquet."""
    folder = settings.releases_dir / "household" / "current"
    tables = served_tables(read_run(target_dir(settings)).manifest, "household")
    return {
        table.name: (table, duckdb.read_parquet(f"{folder}/{table.name}.parquet").df())
        for table in tables
    }


def assert_equal(table: ServedTable, left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Holds two frames to be the same rows: money to the cent, ratios to 1e-9."""
    names = [column.name for column in table.columns]
    assert list(left.columns) == names, table.name
    assert sorted(right.columns) == sorted(names), table.name
    key = list(table.key)
    left = left.sort_values(key, ignore_index=True)
    right = right[names].sort_values(key, ignore_index=True)
    assert len(left) == len(right) > 0, table.name
    for column in table.columns:
        ours, theirs = left[column.name], right[column.name]
        where = f"{table.name}.{column.name}"
        assert (ours.isna() == theirs.isna()).all(), where
        ours, theirs = ours.dropna(), theirs.dropna()
        if column.data_type == "double precision":
            difference = (ours.astype(float) - theirs.astype(float)).abs()
            assert (difference <= RATIO_TOLERANCE * theirs.abs()).all(), where
        elif column.data_type.startswith("decimal"):
            cents = [(side.astype(float) * 100).round().astype("int64") for side in (ours, theirs)]
            assert (cents[0] == cents[1]).all(), where
        elif column.data_type == "text":
            assert (ours.astype(str) == theirs.astype(str)).all(), where
        else:
            assert (ours.astype("int64") == theirs.astype("int64")).all(), where


def test_both_engines_agree(source: Source) -> None:
    _, installation = source
    on_duckdb, on_postgres = released(installation("duckdb")), released(installation("postgres"))
    assert on_duckdb.keys() == on_postgres.keys()
    for name, (table, rows) in on_duckdb.items():
        assert_equal(table, rows, on_postgres[name][1])


def test_marts_are_those_of_the_pandas_port(source: Source) -> None:
    files, installation = source
    text = {"display": str, "mailer": str, "HOUSEHOLD_SIZE_DESC": str}
    raw = {
        dataset.name: pd.read_csv(
            files / f"{dataset.name}.csv", dtype=text, keep_default_na=False
        ).rename(columns=str.lower)
        for dataset in read_datasets(PROJECT_DIR).values()
        if dataset.domain == "household"
    }
    sections = pd.read_csv(PROJECT_DIR / "seeds" / "commodity_sections.csv")
    expected = household_marts(raw, dict(sections.itertuples(index=False)))
    marts = released(installation("duckdb"))
    assert marts.keys() == expected.keys()
    for name, (table, rows) in marts.items():
        assert_equal(table, rows, expected[name])


def test_real_files_land_whole(realdata: Path, short_tmp: Path) -> None:
    """As many rows as the files have lines, the header not counted."""
    folder = realdata / "complete_journey"
    settings = Settings(data_dir=short_tmp / "real_counts")
    report = load(settings, domain="household", from_=folder)
    assert len(report.files) == 8
    for file in report.files:
        lines = (folder / file.file).read_bytes().count(b"\n") - 1
        assert (file.rows_read, file.rows_landed, file.rows_rejected) == (lines, lines, 0)
