"""A release from the lake: the same code, the same tables, and old builds removed."""

from dataclasses import replace
from uuid import uuid4

import duckdb
import pytest

from orchestration.release.errors import ReleaseError
from orchestration.release.publish import release
from orchestration.transform.lake import WHOLE, table_dir
from orchestration.transform.record import read_record, write_record
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings

pytestmark = pytest.mark.integration
PARTS = 3


def write_build(settings: Settings) -> str:
    """Writes the household marts of DuckDB's warehouse to the lake, as a build there does."""
    record = read_record(settings, "household")
    invocation = str(uuid4())
    with duckdb.connect(settings.warehouse_path, read_only=True) as warehouse:
        for table in record.tables:
            folder = table_dir(settings, invocation, table.schema, table.name)
            folder.mkdir(parents=True)
            for part in range(PARTS):
                warehouse.execute(
                    f"copy (select * from {table.schema}.{table.name} where rowid % {PARTS} = "
                    f"{part}) to '{folder}/part-{part}.parquet'"
                )
            (folder / WHOLE).touch()
    write_record(settings, replace(record, engine="spark", invocation_id=invocation))
    return invocation


def test_what_is_served_is_what_was_written_to_the_lake(installation: Settings) -> None:
    settings = installation.model_copy(update={"engine": "spark"})
    never_released = write_build(settings)
    builds = [write_build(settings)]
    report = release(settings, "household")
    with (
        duckdb.connect(settings.warehouse_path, read_only=True) as warehouse,
        open_serving_store(settings).connect() as connection,
    ):
        tables = read_record(settings, "household").tables
        assert report.tables == len(tables) > 10
        for table in tables:
            built = warehouse.sql(f"from {table.schema}.{table.name}").fetchall()
            served = connection.execute(f"select * from household__r1.{table.name}").fetchall()
            assert sorted(map(str, served)) == sorted(map(str, built)), table.name
    assert not (settings.lake_dir / never_released).exists()

    builds.append(write_build(settings))
    assert release(settings, "household").number == 2
    assert {path.name for path in settings.lake_dir.iterdir()} == set(builds)

    builds.append(write_build(settings))
    table = tables[0]
    (table_dir(settings, builds[-1], table.schema, table.name) / WHOLE).unlink()
    with pytest.raises(ReleaseError, match=f"{table.name} is no longer there, or not whole"):
        release(settings, "household")
