"""Rows of decisions go once they have landed and are too old."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from orchestration.load import landing, old_decisions
from orchestration.load.convert_csv import write_empty
from orchestration.load.declarations import read_datasets
from orchestration.load.event_datasets import EVENTS
from orchestration.load.old_decisions import delete_rows
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
# Their numbers are 1 to 6; the last has not landed.
DAYS = [51.0, 50.1, 49.9, 60.0, 0.0, 70.0]
LANDED = 5


def make_decisions(connection: psycopg.Connection) -> None:
    connection.execute("create schema events")
    connection.execute(
        "create table events.decisions (number integer primary key, decided_at timestamptz)"
    )
    connection.execute(
        "insert into events.decisions select number, %s - make_interval(secs => day * 86400) "
        "from unnest(%s::float8[]) with ordinality as _ (day, number)",
        [NOW, DAYS],
    )


def test_rows_that_have_landed_go(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=short_tmp / "old", decisions_retention_days=50)
    assert delete_rows(settings, NOW) == 0
    with open_serving_store(settings).connect(autocommit=True) as connection:

        def left() -> list[int]:
            found = connection.execute("select number from events.decisions order by number")
            return [number for (number,) in found]

        make_decisions(connection)
        # Nothing has landed.
        assert delete_rows(settings, NOW) == 0
        dataset = read_datasets(PROJECT_DIR)[EVENTS, "decisions"]
        part = landing.part_path(settings, dataset, f"decisions_000000000001-{LANDED:012d}")
        part.parent.mkdir(parents=True)
        record = landing.part_record(dataset, sha256="", rejected=0, sample=False)
        write_empty(dataset, part, record)
        kept = settings.model_copy(update={"decisions_retention_days": None})
        assert delete_rows(kept, NOW) == 0
        # One at a time, up to the first that is young enough.
        with monkeypatch.context() as patch:
            one = old_decisions.DELETE.replace(f"limit {old_decisions.AT_ONCE}", "limit 1")
            patch.setattr(old_decisions, "DELETE", one)
            assert delete_rows(settings, NOW) == 2
        assert left() == [3, 4, 5, 6]
        assert delete_rows(settings, NOW) == 1
        assert left() == [3, 5, 6]
