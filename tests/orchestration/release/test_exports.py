"""From an engine to Parquet, and from there to a release's table: every value, and every error."""

import threading
import time
from pathlib import Path

import duckdb
import psycopg
import pytest

from orchestration.release.exports import exporting
from orchestration.release.marts import DuckDBMarts, PostgresMarts
from orchestration.release.tables import write_tables
from orchestration.transform.graph import ServedTable
from pollux.contracts import Column
from pollux.runtime.serving import ServingStore, open_serving_store
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
ROWS = """
select * from (values
    (3, 'a "quoted", one' || chr(10) || 'of two lines', 1.10, 0.1, true, date '2004-03-23',
        timestamp '2026-01-02 03:04:05.000678', 7),
    (1, '', -2.00, 1e-300, false, date '0044-03-15', timestamp '2026-01-02 00:00:00', -8),
    (2, null, null, null, null, null, null, null)
) as rows (number, label, price, ratio, is_new, day, seen_at, rank)
"""


def mart(name: str, schema: str = "marts") -> ServedTable:
    columns = [Column(name=name, data_type=kind, is_required=False) for name, kind in TYPES.items()]
    return ServedTable(
        name=name, columns=tuple(columns), key=("number",), indexes=(), schema=schema
    )


def created(table: str) -> list[str]:
    columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    return [f"create table {table} ({columns})", f"insert into {table} {ROWS}"]


@pytest.fixture(scope="module")
def store(short_tmp: Path) -> ServingStore:
    store = open_serving_store(Settings(data_dir=short_tmp / "exports"))
    with store.connect() as connection:
        connection.execute(f"create role {store.reader_role}")
        connection.execute("create schema marts")
        for statement in created("marts.things"):
            connection.execute(statement)
    return store


@pytest.mark.integration
@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_every_value_arrives_by_its_key(store: ServingStore, tmp_path: Path, engine: str) -> None:
    with duckdb.connect() as warehouse, store.connect() as reading, store.connect() as writing:
        warehouse.execute("create schema marts")
        for statement in created("marts.things"):
            warehouse.execute(statement)
        marts = DuckDBMarts(warehouse) if engine == "duckdb" else PostgresMarts(reading, tmp_path)
        with exporting(marts, [mart("things")], tmp_path) as exports:
            tables, counts = [mart("things")], {"things": 3}
            schema = f"from_{engine}"
            reader = store.reader_role
            write_tables(writing, schema, tables, exports, counts, reader, lambda _: None)
        expected = reading.execute("select * from marts.things order by number").fetchall()
        # In the order in which they are stored.
        assert writing.execute(f"select * from {schema}.things").fetchall() == expected
        kept = duckdb.read_parquet(str(tmp_path / "things.parquet"))
        assert kept.fetchall() == expected
        assert [row[1] for row in expected][:2] == ["", None]
        # Whoever reads them first has nothing to note in them.
        seen = "select relallvisible = relpages from pg_class where oid = %s::regclass"
        assert writing.execute(seen, [f"{schema}.things"]).fetchone() == (True,)


class Slow(DuckDBMarts):
    """An engine that takes longer than the server lets a transaction be idle."""

    def write_parquet(self, table: ServedTable, path: str) -> None:
        time.sleep(1)
        super().write_parquet(table, path)


@pytest.mark.integration
def test_a_server_that_ends_idle_transactions_waits_for_the_engine(
    store: ServingStore, tmp_path: Path
) -> None:
    with duckdb.connect() as warehouse, store.connect() as writing:
        warehouse.execute("create schema marts")
        for statement in created("marts.things"):
            warehouse.execute(statement)
        writing.execute("set idle_in_transaction_session_timeout = '200ms'")
        writing.commit()
        with exporting(Slow(warehouse), [mart("things")], tmp_path) as exports:
            tables, counts = [mart("things")], {"things": 3}
            reader = store.reader_role
            write_tables(writing, "from_slow", tables, exports, counts, reader, lambda _: None)
        assert writing.execute("select count(*) from from_slow.things").fetchone() == (3,)


class Failing:
    """An engine that fails at a mart."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.written: list[str] = []
        self.threads: set[int] = set()

    def count(self, _table: ServedTable) -> int:
        return 0

    def built_by(self, _table: ServedTable) -> str | None:
        return None

    def write_parquet(self, table: ServedTable, path: str) -> None:
        self.threads.add(threading.get_ident())
        if table.name == self.at:
            raise duckdb.IOException("the disk is full")
        self.written.append(table.name)
        duckdb.sql("select 1 as number").write_parquet(path)


def test_an_error_of_the_engine_is_told_to_whoever_waits_for_the_mart(tmp_path: Path) -> None:
    marts = Failing(at="second")
    with (
        pytest.raises(duckdb.IOException, match="the disk is full"),
        exporting(marts, [mart("first"), mart("second")], tmp_path) as exports,
    ):
        exports.copy(mart("second"), None, "never reached")  # type: ignore[arg-type]
    assert marts.written == ["first"]
    assert threading.get_ident() not in marts.threads


def test_nothing_more_is_written_once_the_release_failed(tmp_path: Path) -> None:
    marts = Failing(at="none")
    tables = [mart(f"mart_{number}") for number in range(50)]
    with pytest.raises(psycopg.OperationalError), exporting(marts, tables, tmp_path):
        raise psycopg.OperationalError("the server went away")
    assert len(marts.written) < len(tables)
