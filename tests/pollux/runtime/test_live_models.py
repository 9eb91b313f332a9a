"""Models of a release over a few customers: planned once, evaluated as if planned each time."""

import random
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pollux.runtime.duck import open_duckdb
from pollux.runtime.live_lines import SUFFIX, write_lines
from pollux.runtime.live_models import LiveModels
from pollux.runtime.live_plan import LiveModel, LivePlan, write_plan
from pollux.runtime.live_statement import Given, Statement, needed, reading

Rows = dict[str, list[tuple[Any, ...]]]

# What an optimizer would take from the statistics of tables: extremes, counts, emptiness, keys.
SQL = {
    "gathered": """
        select *, false as is_live from "shop"
        union all
        select *, true as is_live from "events.lines"
    """,
    "span": """
        select
            min(day) as first_day,
            greatest(max(day), (select max(day) from "given_days")) as last_day,
            count(*) as lines
        from "gathered"
    """,
    "weeks": """
        with recursive
            found as (
                select last_day as day, first_day from "span" where first_day is not null
                union all
                select day - 7 as day, first_day from found where day - 7 >= first_day
            )
        select day from found
    """,
    "mart": """
        select
            key,
            count(*) as lines,
            count(distinct item) as items,
            sum(paid) as paid,
            min(day) as first_day,
            max(name) as name,
            count(*) filter (where is_live) as live_lines
        from "gathered"
        where day between 10 and 1000
        group by 1
    """,
    "spend": """
        with
            spent as (
                select key, day, coalesce(section, 'none') as section, sum(paid) as paid
                from "gathered" as gathered
                left join "items" as items on gathered.item = items.item
                where key in (select key from "mart" where lines > 0)
                group by 1, 2, 3
            )
        select
            spent.*,
            weeks.day as week,
            row_number() over (
                partition by key order by spent.day, section, weeks.day
            ) as number
        from spent
        left join "weeks" as weeks on spent.day between weeks.day - 6 and weeks.day
    """,
    "ends": 'select key, last_day, span.lines from "mart" as mart cross join "span" as span',
}
# Of a contract.
COLUMNS = (
    ("key", "bigint"),
    ("lines", "bigint"),
    ("items", "bigint"),
    ("paid", "decimal(18, 2)"),
    ("first_day", "integer"),
    ("name", "varchar"),
    ("live_lines", "bigint"),
)
MARTS = ("mart", "spend", "ends")
MODELS = tuple(
    LiveModel(name, sql, COLUMNS if name == "mart" else (), name in MARTS)
    for name, sql in SQL.items()
)
SHOP = pa.schema(
    [
        ("key", pa.int64()),
        ("item", pa.int64()),
        ("day", pa.int32()),
        ("paid", pa.decimal128(18, 2)),
        ("name", pa.string()),
    ]
)
LINES = (
    ("key", "BIGINT"),
    ("item", "BIGINT"),
    ("day", "INTEGER"),
    ("paid", "DECIMAL(18,2)"),
    ("name", "VARCHAR"),
)
ITEMS = pa.table({"item": range(50), "section": [None, "dairy", "meat", "dairy", "drug"] * 10})
KEYS = range(1, 9)
# Of a soak; memory in MiB, of which DuckDB and Arrow keep some for the next call.
CALLS, MOST_GROWN = 1_000, 24


def lines_of(chance: random.Random, keys: Sequence[int], many: int) -> pa.Table:
    """Lines of these customers; any value but the key may be missing."""
    rows = [
        {
            "key": chance.choice(keys),
            "item": chance.choice([None, *range(60)]),
            "day": chance.choice([None, *range(1, 60), 2000]),
            "paid": chance.choice([None, Decimal(chance.randrange(10**6)) / 100]),
            "name": chance.choice([None, "", "a", "ß", "x" * 40]),
        }
        for _ in range(many)
    ]
    return pa.Table.from_pylist(rows, schema=SHOP)


def put(folder: Path, lines: pa.Table) -> None:
    """Writes lines as an erasure does: another file in the place of the one before."""
    written = folder / "written"
    write_lines(written, "key", lines.sort_by("key").to_reader())
    written.rename(folder / f"shop{SUFFIX}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    plan = LivePlan(
        domain="shop",
        key="key",
        released=("items",),
        customers={"shop": "key"},
        lines="events.lines",
        lines_columns=LINES,
        days=("given_days",),
        models=MODELS,
    )
    write_plan(tmp_path, plan)
    pq.write_table(ITEMS, tmp_path / "items.parquet")
    put(tmp_path, SHOP.empty_table())
    return tmp_path


def rows_of(tables: Mapping[str, pa.Table]) -> Rows:
    return {
        name: sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=str)
        for name, table in tables.items()
    }


def evaluated(shop: pa.Table, keys: Sequence[int], lines: pa.Table | None, day: int | None) -> Rows:
    """The same by tables that are made for this alone."""
    engine = duckdb.connect()
    asked = ", ".join(map(str, keys)) or "null"
    days = pa.table({"day": pa.array([day] if day else [], pa.int32())})
    given = {
        "shop": shop.filter(pa.compute.is_in(shop["key"], pa.array(keys, pa.int64()))),
        "events.lines": lines if lines is not None else SHOP.empty_table(),
        "given_days": days,
        "items": ITEMS,
    }
    for name, table in given.items():
        engine.register("rows", table)
        engine.execute(f'create table "{name}" as from rows')
    found = {}
    for model in MODELS:
        engine.execute(f'create table "{model.name}" as {model.sql}')
        if model.is_mart:
            found[model.name] = engine.sql(f'from "{model.name}" where key in ({asked})')
    return rows_of({name: relation.to_arrow_table() for name, relation in found.items()})


def calls(chance: random.Random) -> Iterator[tuple[pa.Table, list[int], pa.Table | None, int]]:
    """Nobody, few, many rows, and none again: each after what came before it."""
    for in_file, live in [
        (0, 0),
        (0, 5),
        (40, 0),
        (3000, 200),
        (1, 1),
        (0, 0),
        (500, 3000),
        (9, 0),
    ]:
        keys = chance.sample(KEYS, chance.randrange(len(KEYS)))
        lines = lines_of(chance, keys, live) if keys and live else None
        yield lines_of(chance, KEYS, in_file), keys, lines, chance.choice([0, 30, 70])


def test_each_call_has_the_rows_that_it_would_have_alone(folder: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    models = LiveModels(folder)
    assert models.marts == MARTS
    many = 0
    for shop, keys, lines, day in calls(random.Random(seed)):
        put(folder, shop)
        found = rows_of(models.compute(keys, lines, day))
        assert found == evaluated(shop, keys, lines, day)
        many += len(found["spend"])
    assert many > 100
    models.close()


def test_a_call_that_fails_leaves_nothing_to_the_next(folder: Path) -> None:
    models = LiveModels(folder)
    wrong = pa.table(
        {name: ["no number"] if name == "item" else pa.nulls(1) for name in SHOP.names}
    )
    with pytest.raises(pa.ArrowInvalid):
        models.compute([1], wrong, None)
    large = lines_of(random.Random(1), [1], 3).set_column(
        3, "paid", pa.array([Decimal("9" * 16 + ".99")] * 3, pa.decimal128(18, 2))
    )
    large = large.set_column(2, "day", pa.array([10, 11, 12], pa.int32()))
    with pytest.raises(duckdb.Error):
        models.compute([1], large, None)
    assert all(table.num_rows == 0 for table in models.compute([1], None, None).values())


def test_a_statement_is_planned_once() -> None:
    class Counted(Given):
        planned = run = 0

        def __arrow_c_schema__(self) -> object:
            Counted.planned += 1
            return super().__arrow_c_schema__()

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            Counted.run += 1
            return super().__arrow_c_stream__(requested_schema)

    engine = open_duckdb()
    given = Counted(pa.schema([("key", pa.int64())]))
    engine.register("given", given)
    engine.register("items", ITEMS)
    sql = "select given.key, section from given left join items on given.key = items.item"
    statement = Statement(engine, "one", [LiveModel("mart", sql)], {"mart": "true"})
    planned, started = Counted.planned, Counted.run
    assert planned > 0
    for key in range(5):
        given.give(pa.table({"key": [key]}))
        assert rows_of(statement.run()) == {"mart": [(key, ITEMS["section"][key].as_py())]}
    assert (Counted.planned, Counted.run) == (planned, started + 5)


def test_a_statement_has_only_the_models_that_it_needs() -> None:
    assert needed(MODELS, ["weeks"]) == {"gathered", "span", "weeks"}
    assert reading(MODELS, "given_days") == {"span", "weeks", "spend", "ends"}


@pytest.mark.endurance
def test_memory_stays_as_it_is_after_the_first_calls(folder: Path) -> None:
    chance = random.Random(1)
    put(folder, lines_of(chance, KEYS, 2000))
    models = LiveModels(folder)
    process = psutil.Process()
    found = []
    for call in range(1, CALLS + 1):
        keys = chance.sample(KEYS, chance.randrange(1, 4))
        models.compute(keys, lines_of(chance, keys, 20), None)
        if call % (CALLS // 4) == 0:
            found.append(process.memory_info().rss / 2**20)
    print("MiB", found)
    assert found[-1] < found[0] + MOST_GROWN
