"""Only a file's bytes count: no folder or file name becomes a value, and one module opens files."""

import re

import duckdb
import pytest
import yaml

from orchestration.scans import scan_csv, scan_parquet, scan_parts
from pollux.runtime.settings import PROJECT_DIR

ROOMS = (
    "orchestration",
    "sample",
    "pollux",
    "services",
    "cli",
    "benchmarks",
    "models",
    "macros",
    "seeds",
    "profiles",
)
# Every way by which a path reaches an engine that looks for values in it.
READERS = re.compile(
    r"\b(?:read_csv(?:_auto)?|sniff_csv|read_parquet|parquet_scan"
    r"|read_ndjson\w*|from_csv_auto|from_parquet|ParquetDataset)\("
    r"|\b(?:pq|parquet)\.read_table\(|\bds\.dataset\("
    r"|(?i:from|join)\s+'[^']+\.(?:parquet|csv)'"
)
ODD = [
    "country_code=Chile",
    "id=7",
    "id=7/name=x",
    "it's",
    "da[t]a",
    "a*b",
    "what?",
    "{id}",
    "%20",
    "a b",
    "ü",
    "__HIVE_DEFAULT_PARTITION__",
    "id=__HIVE_DEFAULT_PARTITION__",
]


def allowed(path, line):
    if path == "orchestration/scans.py":
        return True
    # dbt's sources are the one place that Python does not write; pandas reads text, not paths, so
    # does Arrow what PostgreSQL sends, and Polars one file of ours.
    words = ("hive_partitioning = false", "pd.read_csv(", "pl.read_csv(", " csv.read_csv(")
    return any(word in line for word in words)


def test_one_module_opens_files():
    found = []
    for room in ROOMS:
        for path in sorted((PROJECT_DIR / room).rglob("*")):
            if path.suffix not in {".py", ".sql", ".yml", ".ipynb"}:
                continue
            name = str(path.relative_to(PROJECT_DIR))
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                if READERS.search(line) and not allowed(name, line):
                    found.append(f"{name}:{number}: {line.strip()}")
    assert not found, "open data files by orchestration.scans:\n" + "\n".join(found)


def test_the_lint_sees_other_ways():
    for line in (
        'duckdb.sql(f"from read_parquet({x})")',
        "pq.read_table(path)",
        "select * from '/data/x.parquet'",
        "con.from_parquet(path)",
        "read_csv_auto('x')",
        "pd.read_parquet(path)",
        "ds.dataset(folder)",
    ):
        assert READERS.search(line), line
        assert not allowed("cli/x.py", line), line


SOURCES = [
    source
    for file in sorted((PROJECT_DIR / "models" / "staging").glob("*/_*__sources.yml"))
    for source in yaml.safe_load(file.read_text())["sources"]
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source["tables"][0]["name"])
def test_every_source_of_dbt_reads_bytes_alone(tmp_path, source):
    name = source["tables"][0]["name"]
    column = source["tables"][0]["columns"][0]["name"]
    data_dir = tmp_path / f"{column}=7"
    folder = data_dir / "landing" / source["name"] / name
    folder.mkdir(parents=True)
    duckdb.sql(f'select 1 as "{column}"').write_parquet(str(tmp_path / "x"))
    (tmp_path / "x").rename(folder / "part.parquet")
    location = source["config"]["meta"]["external_location"]
    location = location.replace("{{ env_var('POLLUX_DATA_DIR', 'data') }}", str(data_dir))
    assert duckdb.sql(f"from {location.format(name=name)}").fetchall() == [(1,)]


@pytest.mark.parametrize("folder", ODD)
def test_a_path_adds_nothing_and_hides_nothing(tmp_path, folder):
    within = tmp_path / folder
    within.mkdir(parents=True)
    (within / "a.csv").write_text("id,country_code\n1,Peru\n")
    duckdb.sql("select 1 as id, 'Peru' as country_code").write_parquet(f"{tmp_path}/x.parquet")
    (tmp_path / "x.parquet").rename(within / "a.parquet")
    for scan in (
        scan_csv(within / "a.csv"),
        scan_parquet([within / "a.parquet"]),
        scan_parts(within),
    ):
        found = duckdb.sql(f"from {scan}")
        assert (found.columns, found.fetchall()) == (["id", "country_code"], [(1, "Peru")]), scan


@pytest.mark.parametrize("name", ["a*.parquet", "b[1].parquet", "c?.parquet", "d'.parquet"])
def test_a_file_name_that_is_a_pattern_means_that_file_only(tmp_path, name):
    for other in (name, "a1.parquet", "b1.parquet", "c1.parquet"):
        duckdb.sql(f"select '{other.replace(chr(39), '')}' as n").write_parquet(
            str(tmp_path / "temporary")
        )
        (tmp_path / "temporary").rename(tmp_path / other)
    assert duckdb.sql(f"from {scan_parquet([tmp_path / name])}").fetchall() == [
        (name.replace("'", ""),)
    ]
