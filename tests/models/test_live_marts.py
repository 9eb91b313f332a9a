"""Live marts: the models of a release over a few customers give what a build gives of everybody."""

import random
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa
import pytest
from pyarrow import feather

from orchestration.build import build
from orchestration.learn.recommend.land import read_purchases
from orchestration.load.declarations import read_datasets
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.event_datasets import feeding
from orchestration.load.events import land_events
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.dbt import DbtRun, dbt_command, dbt_environment
from orchestration.transform.errors import BuildError
from orchestration.transform.live_files import live_dir, write_live_files
from orchestration.transform.record import read_record
from pollux.runtime.live_models import LiveModels
from pollux.runtime.recommend.learned import NEIGHBOURS_FILE, read_learned
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import PROJECT_DIR, Settings
from tests.support.installations import Prepared
from tests.support.live_events import make_events_schema, take_in

pytestmark = pytest.mark.integration

HOUSEHOLD = {
    "daily_hh_spend",
    "hh_summary",
    "household_rfm",
    "household_segment_history",
    "household_segments",
    "household_weekly_sales",
}
# Learned: a build learns anew from everybody.
RECOMMENDATIONS = "product_recommendations"
# The first columns of its rows; the others say what the product is.
RECOMMENDED = 9
LINES = ("household_key", "product_id", "minute")
# A build with the bounds of the release leaves these as they are.
AS_RELEASED = (
    "int_days_completed",
    "int_fifths_bounded",
    "int_summaries_numbered",
    "int_live_days_given",
)

Rows = dict[str, list[tuple[Any, ...]]]


def live_folder(settings: Settings, domain: str = "household") -> Path:
    return settings.releases_dir / domain / "current" / "live"


def rows_of(tables: Mapping[str, pa.Table]) -> Rows:
    return {
        name: sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=str)
        for name, table in tables.items()
    }


def evaluate(
    models: LiveModels, batches: Iterable[list[int]], lines: pa.Table | None, day: int | None
) -> Rows:
    """The rows of all these customers, some at a time."""
    found: Rows = {name: [] for name in models.marts}
    for keys in batches:
        of_them = lines
        if lines is not None:
            engine = duckdb.connect()
            asked = f"{models.key} in ({', '.join(map(str, keys))})"
            of_orders = f"order_id in (select order_id from lines where {asked})"
            is_shop = "order_id" in lines.column_names
            chosen = f"from lines where {of_orders if is_shop else asked}"
            of_them = engine.sql(chosen).to_arrow_table()
        for name, rows in rows_of(models.compute(keys, of_them, day)).items():
            found[name] += rows
    return {name: sorted(rows, key=str) for name, rows in found.items()}


def keys_of(rows: Rows) -> list[int]:
    """The households of recommendations: these need less than to be in scope."""
    return sorted({row[0] for row in rows[RECOMMENDATIONS]})


def in_batches(keys: Iterable[int], size: int) -> list[list[int]]:
    keys = list(keys)
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def built_rows(settings: Settings, marts: Iterable[str]) -> Rows:
    with duckdb.connect(settings.warehouse_path, read_only=True) as warehouse:
        return rows_of(
            {name: warehouse.sql(f"from warehouse_marts.{name}").to_arrow_table() for name in marts}
        )


def released_rows(settings: Settings, marts: Iterable[str], domain: str = "household") -> Rows:
    folder = live_folder(settings, domain).parent
    tables = {name: duckdb.read_parquet(f"{folder}/{name}.parquet") for name in marts}
    return rows_of({name: table.to_arrow_table() for name, table in tables.items()})


def test_each_customer_alone_has_the_rows_that_the_build_gives_all(built: Settings) -> None:
    models = LiveModels(live_folder(built))
    assert (models.domain, models.key) == ("household", "household_key")
    assert set(models.marts) == HOUSEHOLD | {RECOMMENDATIONS}
    expected = built_rows(built, models.marts)
    keys = keys_of(expected)
    assert len(keys) > 40
    assert evaluate(models, in_batches(keys, 1), None, None) == expected
    # And nobody else has any.
    assert all(table.num_rows == 0 for table in models.compute([10**9], None, None).values())
    assert all(table.num_rows == 0 for table in models.compute([], None, None).values())


def test_each_customer_of_the_shop_alone_has_the_row_that_the_build_gives(
    prepared: Prepared,
) -> None:
    settings = prepared.everything()
    models = LiveModels(live_folder(settings, "store"))
    assert (models.domain, models.key, models.marts) == ("store", "customer_id", ("customer_info",))
    expected = released_rows(settings, models.marts, "store")
    keys = [row[0] for row in expected["customer_info"]]
    assert len(keys) > 15
    assert evaluate(models, in_batches(keys, 1), None, None) == expected


def test_rows_have_the_columns_and_types_of_the_release(built: Settings) -> None:
    models = LiveModels(live_folder(built))
    for name, table in models.compute([1], None, None).items():
        kept = duckdb.read_parquet(str(live_folder(built).parent / f"{name}.parquet"))
        assert table.column_names == kept.columns
        assert duckdb.from_arrow(table).types == kept.types


@pytest.mark.endurance
def test_engine_postgres_gives_its_release_what_its_marts_were_built_from(
    prepared: Prepared, short_tmp: Path
) -> None:
    settings = prepared.land(short_tmp / "live_postgres", "household", engine="postgres")
    build(settings, ["household"]).raise_if_failed()
    release(settings, "household")
    models = LiveModels(live_folder(settings))
    expected = released_rows(settings, models.marts)
    keys = keys_of(expected)
    assert len(keys) > 40
    assert evaluate(models, in_batches(keys, 20), None, None) == expected


def make_baskets(settings: Settings, seed: int) -> list[list[dict[str, Any]]]:
    """Baskets in the order of their events: new, late, corrected, repeated, of a file as well."""
    chance = random.Random(seed)
    with duckdb.connect() as engine:
        folder = settings.landing_dir / "household"
        known = engine.sql(
            f"select household_key, basket_id, day from '{folder}/transaction_data/*.parquet' "
            "where household_key is not null and basket_id is not null and day is not null"
        ).fetchall()
        products = engine.sql(f"select product_id from '{folder}/product/*.parquet'").fetchall()
    # The last have only live purchases, the very last of a single day.
    households = [*sorted({row[0] for row in known}), 7000001, 7000002, 7000003]
    last_day = max(row[2] for row in known)
    baskets: list[list[dict[str, Any]]] = []
    for number in range(400):
        kind = chance.choice(["new", "new", "late", "corrected", "again", "of a file", "ahead"])
        household, basket = chance.choice(households[:-1]), 9 * 10**10 + number
        day = last_day - chance.randrange(20)
        if kind == "late":
            day = chance.randrange(1, last_day)
        elif kind == "ahead":
            day = last_day + chance.randrange(1, 6)
        elif kind == "of a file":
            household, basket, day = chance.choice(known)
        elif kind == "corrected" and baskets:
            earlier = chance.choice(baskets)[0]
            household, basket = earlier["household_key"], earlier["basket_id"]
        elif kind == "again" and baskets:
            baskets.append(chance.choice(baskets))
            continue
        lines = chance.sample(products, chance.randrange(1, 6))
        baskets.append([basket_line(household, basket, day, one, chance) for (one,) in lines])
    alone = [households[-1], 9 * 10**10 - 1, last_day]
    return [*baskets, [basket_line(*alone, products[0][0], chance)]]


def basket_line(
    household: int, basket: int, day: int, product: int, chance: random.Random
) -> dict[str, Any]:
    return {
        "household_key": household,
        "basket_id": basket,
        "day": day,
        # Some that nobody knows.
        "product_id": chance.choice([product] * 9 + [1]),
        "quantity": chance.choice([0, 1, 1, 2, 1200]),
        "sales_value": Decimal(chance.randrange(0, 5000)) / 100,
        "store_id": chance.choice([None, 364]),
    }


def build_with_the_bounds(settings: Settings, marts: Iterable[str]) -> None:
    """Builds live marts anew from all that landed, but not what the release has given."""
    selected = [f"+{mart}" for mart in sorted(marts)]
    command = dbt_command(
        "run", "--select", *selected, "--exclude", *AS_RELEASED, target=settings.engine
    )
    environment = dbt_environment(settings, None)
    ran = subprocess.run(
        command, env=environment, cwd=PROJECT_DIR, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def recommended_rows(settings: Settings, day: int) -> list[tuple[Any, ...]]:
    """Everybody's recommendations from all that landed, by what the release has learned."""
    purchases = read_purchases(settings)
    lines = pa.table([purchases.household, purchases.product, purchases.minute], names=LINES)
    folder = live_folder(settings)
    neighbours = feather.read_table(folder / NEIGHBOURS_FILE)
    table = read_learned(folder).recommend(lines, neighbours, day)
    assert len(table.column_names) == RECOMMENDED
    return rows_of({RECOMMENDATIONS: table})[RECOMMENDATIONS]


def released_shop(prepared: Prepared, folder: Path, *, moves: bool) -> Settings:
    """A released household domain: of the study, or of a shop whose window moves with its data."""
    if not moves:
        return prepared.copy(prepared.household(), folder)
    settings = prepared.empty(folder)
    load(settings, domain="household", from_=prepared.samples()["household"])
    build(settings, ["household"]).raise_if_failed()
    release(settings, "household")
    return settings


@pytest.mark.parametrize(
    "moves", [False, pytest.param(True, marks=pytest.mark.endurance)], ids=["study", "moving"]
)
def test_after_any_events_live_is_what_a_build_with_the_same_bounds_would_be(
    prepared: Prepared, short_tmp: Path, *, moves: bool
) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    settings = released_shop(prepared, short_tmp / f"live_{moves}", moves=moves)
    models = LiveModels(live_folder(settings))
    before = built_rows(settings, models.marts)
    with open_serving_store(settings).connect() as connection:
        make_events_schema(connection)
        for basket in make_baskets(settings, seed):
            event = {"event_key": uuid4()}
            lines = [event | row | {"line": line} for line, row in enumerate(basket, start=1)]
            take_in(connection, "basket_lines", lines)
    land_events(settings, feeding(["household"]))
    parts = str(settings.landing_dir / "events" / "basket_lines" / "*.parquet")
    lines = duckdb.connect().read_parquet(parts).to_arrow_table()
    day = max(lines["day"].to_pylist())
    with duckdb.connect(settings.warehouse_path) as warehouse:
        warehouse.execute(
            "create or replace view warehouse_intermediate.int_live_days_given as "
            f"select {day} as day"
        )
    build_with_the_bounds(settings, HOUSEHOLD)

    expected = built_rows(settings, HOUSEHOLD)
    assert all(expected[mart] != before[mart] for mart in HOUSEHOLD)
    recommended = recommended_rows(settings, day)
    assert recommended != [row[:RECOMMENDED] for row in before[RECOMMENDATIONS]]
    keys = {*keys_of(before), *lines["household_key"].to_pylist()}
    for size in (1, 20):
        found = evaluate(models, in_batches(sorted(keys), size), lines, day)
        assert [row[:RECOMMENDED] for row in found.pop(RECOMMENDATIONS)] == recommended
        assert found == expected


def make_orders(settings: Settings, seed: int) -> list[list[dict[str, Any]]]:
    """Orders in the order of their events: new, corrected, of somebody else, of a file as well."""
    chance = random.Random(seed)
    with duckdb.connect() as engine:
        folder = settings.landing_dir / "store"
        known = engine.sql(
            f"select order_id, customer_id from '{folder}/orders/*.parquet'"
        ).fetchall()
        products = engine.sql(f"select product_id from '{folder}/products/*.parquet'").fetchall()
        coupons = engine.sql(f"select coupon_id from '{folder}/coupons/*.parquet'").fetchall()
    # The last has only live orders.
    customers = [*sorted({row[1] for row in known}), 7000001]
    orders: list[list[dict[str, Any]]] = []
    for number in range(200):
        kind = chance.choice(["new", "new", "corrected", "of somebody else", "of a file"])
        order, customer = 9 * 10**10 + number, chance.choice(customers)
        if kind == "of a file":
            order = chance.choice(known)[0]
        elif kind in ("corrected", "of somebody else") and orders:
            earlier = chance.choice(orders)[0]
            order = earlier["order_id"]
            customer = earlier["customer_id"] if kind == "corrected" else customer
        orders.append(
            [
                {
                    "order_id": order,
                    "customer_id": customer,
                    "product_id": product,
                    "coupon_id": chance.choice([None, chance.choice(coupons)[0]]),
                    "original_price": chance.choice([None, "0.00", "19.99"]),
                    "paid_price": Decimal(chance.randrange(0, 2000)) / 100,
                }
                for (product,) in chance.sample(products, chance.randrange(1, 5))
            ]
        )
    return orders


def test_after_any_orders_live_is_what_a_build_would_be(
    prepared: Prepared, short_tmp: Path
) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    settings = prepared.copy(prepared.everything(), short_tmp / "live_orders")
    models = LiveModels(live_folder(settings, "store"))
    before = built_rows(settings, models.marts)
    with open_serving_store(settings).connect() as connection:
        for order in make_orders(settings, seed):
            event = {"event_key": uuid4()}
            rows = [event | row | {"line": line} for line, row in enumerate(order, start=1)]
            take_in(connection, "order_lines", rows)
    land_events(settings, feeding(["store"]))
    parts = str(settings.landing_dir / "events" / "order_lines" / "*.parquet")
    lines = duckdb.connect().read_parquet(parts).to_arrow_table()
    build_with_the_bounds(settings, models.marts)

    expected = built_rows(settings, models.marts)
    assert expected != before
    keys = {row[0] for row in before["customer_info"]} | set(lines["customer_id"].to_pylist())
    for size in (1, 5):
        assert evaluate(models, in_batches(sorted(keys), size), lines, None) == expected


def test_the_files_of_a_release_are_those_of_its_build(installation: Settings) -> None:
    # A load after the build does not get in.
    shutil.rmtree(installation.landing_dir / "household" / "transaction_data")
    release(installation, "household")
    models = LiveModels(live_folder(installation))
    expected = built_rows(installation, models.marts)
    keys = keys_of(expected)
    assert evaluate(models, in_batches(keys, 20), None, None) == expected


def last_build(settings: Settings, prepared: Prepared) -> DbtRun:
    """The last build with compiled models, which reading the rules afterwards took away."""
    record = read_record(settings, "household")
    assert record is not None
    ensure_empty_parts(settings, list(read_datasets(PROJECT_DIR).values()))
    return DbtRun(record.invocation_id, (), prepared.compiled())


def test_a_model_that_cannot_be_evaluated_live_fails_the_build(
    installation: Settings, prepared: Prepared
) -> None:
    run = last_build(installation, prepared)
    node = run.manifest["nodes"]["model.pollux.int_baskets_summed"]
    node["compiled_code"] = "select no_such_column"
    with pytest.raises(BuildError) as refused:
        write_live_files(installation, run, ["household"], None)
    message = str(refused.value)
    assert message.startswith("The live marts of household cannot be made from this build: ")
    assert "no_such_column" in message


def test_lines_that_did_not_change_are_not_written_again(
    installation: Settings, prepared: Prepared
) -> None:
    run = last_build(installation, prepared)
    before = live_dir(installation, "household", run.invocation_id)
    files = {path.stem: path.stat().st_ino for path in before.iterdir()}
    again = replace(run, invocation_id=f"{run.invocation_id}+")
    # The tables are those of the build before; only what landed is known not to have changed.
    write_live_files(installation, again, ["household"], None)
    after = live_dir(installation, "household", again.invocation_id)
    assert not before.exists()
    same = {path.stem for path in after.iterdir() if path.stat().st_ino == files[path.stem]}
    assert "stg_complete_journey__transactions" in same
    assert "int_fifths_bounded" not in same
