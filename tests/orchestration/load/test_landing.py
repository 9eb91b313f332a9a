"""Parts, sample and real, the lock, the log: what the landing zone promises."""

import json
import os
import subprocess
import sys

import duckdb
import pyarrow.parquet as pq
import pytest

from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.errors import LoadError
from orchestration.load.load_log import read_load_log
from pollux.runtime.settings import PROJECT_DIR, Settings
from tests.orchestration.load.conftest import BEFORE, HEADER, YAML, numbered, only


def test_the_same_file_again_is_unchanged(shop):
    assert only(shop.load(BEFORE)).outcome == "landed"
    part = shop.settings.landing_dir / "shop" / "sales" / "sales.csv.parquet"
    written = part.stat().st_mtime_ns
    again = only(shop.load(BEFORE))
    assert (again.outcome, again.rows_landed) == ("unchanged", 1)
    assert part.stat().st_mtime_ns == written


def test_a_changed_file_replaces_its_part_and_a_new_name_adds_one(shop):
    shop.load(BEFORE)
    assert only(shop.load(HEADER + numbered(3))).outcome == "replaced"
    assert only(shop.load(BEFORE, "sales-2.csv")).outcome == "landed"
    assert [row[0] for row in shop.rows()] == [1, 2, 3, 7]


def test_replace_clears_the_other_parts_of_the_dataset(shop):
    shop.load(HEADER + numbered(150) + b"x,,\n", "sales-1.csv")
    shop.load(b"stays\n", "a.txt")
    report = shop.load(BEFORE, "sales-2.csv", replace=True)
    assert report.notes == ("removed, as --replace asks: sales/sales-1.csv",)
    assert [row[0] for row in shop.rows()] == [7]
    assert shop.rejects("sales-1.csv") == []
    assert shop.rows("notes") == [("stays",)]


def test_a_part_carries_its_record(shop):
    shop.load(HEADER + numbered(150) + b"x,,\n")
    sales = read_datasets(shop.folder)["shop", "sales"]
    (part,) = landing.parts(shop.settings, sales)
    assert (part.name, part.rows_read, part.rows_landed, part.rows_rejected) == (
        "sales.csv", 151, 150, 1
    )  # fmt: skip
    assert part.declaration == sales.fingerprint
    assert part.sample is False
    schema = pq.read_schema(part.path)
    assert [str(field.type) for field in schema] == ["int64", "string", "decimal128(18, 2)"]


def test_the_first_real_load_removes_the_sample(shop):
    shop.load(BEFORE, "sales-sample.csv", sample=True)
    shop.load(b"sample\n", "sample.txt", sample=True)
    assert landing.is_sample(shop.settings, "shop")
    report = shop.load(HEADER + numbered(2))
    assert report.notes == ("the sample data of shop was removed (2 rows)",)
    assert not landing.is_sample(shop.settings, "shop")
    assert [row[0] for row in shop.rows()] == [1, 2]
    assert landing.parts(shop.settings, read_datasets(shop.folder)["shop", "notes"]) == []


def test_a_sample_file_loaded_as_real_is_real(shop):
    shop.load(BEFORE, sample=True)
    assert only(shop.load(BEFORE)).outcome == "landed"
    assert not landing.is_sample(shop.settings, "shop")
    assert [row[0] for row in shop.rows()] == [7]


def test_a_failed_real_load_keeps_the_sample(shop):
    shop.load(BEFORE, sample=True)
    with pytest.raises(LoadError, match="is empty"):
        shop.load(b"", "sales-real.csv")
    assert landing.is_sample(shop.settings, "shop")
    assert [row[0] for row in shop.rows()] == [7]


def test_a_sample_over_real_data_is_refused(shop):
    shop.load(BEFORE)
    with pytest.raises(LoadError, match="shop holds real data, which a sample may not replace"):
        shop.load(b"sample\n", "sample.txt", sample=True)
    assert [row[0] for row in shop.rows()] == [7]


def test_every_dataset_has_an_empty_part_of_its_types(shop):
    datasets = read_datasets(shop.folder).values()
    ensure_empty_parts(shop.settings, datasets)
    ensure_empty_parts(shop.settings, datasets)
    assert shop.rows("sales") == shop.rows("typed") == []
    schema = pq.read_schema(shop.settings.landing_dir / "shop" / "typed" / "_empty.parquet")
    assert {f.name: str(f.type) for f in schema} == {
        "n": "double", "b": "bool", "d": "date32[day]", "t": "timestamp[us]"
    }  # fmt: skip
    assert landing.domain_parts(shop.settings, "shop") == []
    shop.load(BEFORE)
    assert [row[0] for row in shop.rows()] == [7]


def test_duckdb_plans_for_the_rows_that_landed(shop):
    datasets = read_datasets(shop.folder).values()
    ensure_empty_parts(shop.settings, datasets)
    shop.load(HEADER + numbered(250))
    ensure_empty_parts(shop.settings, datasets)
    files = shop.settings.landing_dir / "shop" / "sales" / "*.parquet"
    ((_, plan),) = duckdb.sql(f"explain (format json) from read_parquet('{files}')").fetchall()
    assert json.loads(plan)[0]["extra_info"]["Estimated Cardinality"] == "250"
    assert shop.rows("typed") == []


def test_the_fingerprint_follows_content(shop):
    ensure_empty_parts(shop.settings, read_datasets(shop.folder).values())
    seen = [landing.fingerprint(shop.settings, "shop")]
    for content in (BEFORE, HEADER + numbered(2), BEFORE):
        shop.load(content)
        seen.append(landing.fingerprint(shop.settings, "shop"))
    assert len(set(seen)) == 3
    assert seen[1] == seen[3]


def test_a_changed_declaration_asks_for_replace(shop):
    shop.load(BEFORE)
    path = shop.folder / "models" / "staging" / "shop" / "_shop__sources.yml"
    path.write_text(
        YAML.replace("{name: id, data_type: integer}", "{name: id, data_type: text}", 1)
    )
    with pytest.raises(LoadError, match=r"declared differently when sales.csv landed.*--replace"):
        shop.load(BEFORE, "sales-2.csv")
    assert only(shop.load(BEFORE)).outcome == "replaced"
    assert shop.rows()[0][0] == "7"
    ensure_empty_parts(shop.settings, read_datasets(shop.folder).values())
    assert only(shop.load(HEADER + numbered(2), "sales-2.csv")).outcome == "landed"


def test_a_stranger_in_the_landing_zone_is_named(shop):
    shop.load(BEFORE)
    (shop.settings.landing_dir / "shop" / "sales" / "mine.parquet").write_bytes(b"x")
    with pytest.raises(LoadError, match=r"mine.parquet is not a part that load wrote"):
        shop.load(BEFORE)


def test_the_log_keeps_every_outcome_and_survives_a_torn_line(shop):
    shop.load(BEFORE)
    log = shop.settings.landing_dir / "load_log.jsonl"
    with log.open("a") as file:
        file.write('{"torn": ')
    shop.load(BEFORE)
    entries = read_load_log(shop.settings)
    assert [entry["outcome"] for entry in entries] == ["landed", "unchanged"]
    assert entries[0]["rows_landed"] == 1
    assert entries[0]["domain"] == "shop"


def test_what_a_killed_load_left_is_cleared(shop):
    left = shop.settings.landing_dir / ".tmp" / "left"
    left.mkdir(parents=True)
    (left / "part").write_bytes(b"x")
    shop.load(BEFORE)
    assert not left.exists()


def test_a_second_loader_is_told_who_holds_the_lock(shop):
    code = (
        "import sys; from pathlib import Path; from orchestration.load import landing;"
        "from pollux.runtime.settings import Settings\n"
        "with landing.locked(Settings(data_dir=Path(sys.argv[1]))):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    shop.settings = Settings(data_dir=shop.folder / "data", lock_timeout_seconds=0.1)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(shop.settings.data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT_DIR,
        env={**os.environ, "PYTHONPATH": str(PROJECT_DIR)},
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LoadError, match=f"held by process {holder.pid} .*waited 0.1 s"):
            shop.load(BEFORE)
        holder.stdin.close()
    assert only(shop.load(BEFORE)).outcome == "landed"


def test_the_report_is_json(shop):
    report = shop.load(BEFORE)
    assert json.loads(json.dumps(report.as_json()))["files"][0]["rows_landed"] == 1


def test_progress_reaches_the_end(shop):
    seen = []
    shop.load(HEADER + numbered(50), progress=lambda **fact: seen.append(fact))
    assert seen[-1] == {"file": "sales.csv", "done": seen[-1]["total"], "total": seen[-1]["total"]}
