"""The store's history for training, read into DuckDB from the engine that built it."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
from psycopg import sql

from orchestration.learn.propensity.errors import LearnError
from orchestration.object_store import drop_from_lake, fetch
from orchestration.scans import literal, scan_parts
from pollux.masking import told
from pollux.runtime.duck import open_duckdb
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.runtime.spark import use_spark
from pollux.runtime.spark_connect import spark_session
from pollux.runtime.spark_processes import SparkError
from pollux.runtime.warehouse import lock_warehouse

MEMORY_LIMIT = "2GB"
# In the lake, which Spark can write.
WRITTEN = "history"

# What the marts say of a customer's orders so far, and training works out again for each moment.
TOTALS: Mapping[str, str] = {
    "mean_buy_price": "decimal(18, 2)",
    "total_coupons_used": "bigint",
    "mean_discount_received": "decimal(18, 2)",
    "unique_products_bought": "bigint",
    "unique_products_bought_with_coupons": "bigint",
    "total_items_bought": "bigint",
}

# Name in DuckDB → layer and model, and the columns that are read.
TABLES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "orders": (
        "intermediate",
        "int_orders_gathered",
        {"order_id": "bigint", "customer_id": "bigint", "ordered_at": "timestamp"},
    ),
    "order_lines": (
        "intermediate",
        "int_order_lines_discounted",
        {
            "order_id": "bigint",
            "product_id": "bigint",
            "coupon_id": "bigint",
            "paid_price": "decimal(18, 2)",
            "discount_millionths": "bigint",
        },
    ),
    "products": ("marts", "product_info", {"product_id": "bigint", "department": "varchar"}),
    "customers": (
        "marts",
        "customer_info",
        {"customer_id": "bigint", "gender": "varchar", "age": "integer"},
    ),
    "customer_totals": ("marts", "customer_info", {"customer_id": "bigint", **TOTALS}),
    "coupons": (
        "marts",
        "coupon_info",
        {
            "coupon_id": "bigint",
            "coupon_type": "varchar",
            "department": "varchar",
            "discount": "integer",
            "how_many_products_required": "integer",
            "start_date": "date",
            "end_date": "date",
            "product_mean_price": "decimal(18, 2)",
            "products_available": "bigint",
        },
    ),
}


@contextmanager
def open_history(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with the tables or views `TABLES`; holds the warehouse lock.

    Raises `LearnError` if the store domain was not built.
    """
    with (
        lock_warehouse(settings, "a training"),
        tempfile.TemporaryDirectory() as scratch,
        open_duckdb() as history,
        ExitStack() as stack,
    ):
        history.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        history.execute(f"set temp_directory = '{scratch}'")
        if settings.engine == "postgres":
            _copy_from_server(settings, history, Path(scratch))
        elif settings.engine == "spark":
            stack.enter_context(_written_by_spark(settings, history))
        else:
            _attach_warehouse(settings, history)
        yield history


def _attach_warehouse(settings: Settings, history: duckdb.DuckDBPyConnection) -> None:
    if not settings.warehouse_path.exists():
        raise _not_built("there is no warehouse yet")
    try:
        history.execute(f"attach {literal(str(settings.warehouse_path))} as warehouse (read_only)")
        for name, (layer, model, columns) in TABLES.items():
            history.execute(
                f"create view {name} as select {', '.join(columns)} "
                f"from warehouse.warehouse_{layer}.{model}"
            )
    except duckdb.CatalogException as error:
        raise _not_built(told(error).partition("\n")[0]) from error


def _copy_from_server(
    settings: Settings, history: duckdb.DuckDBPyConnection, scratch: Path
) -> None:
    with open_serving_store(settings).connect() as server:
        for name, (layer, model, columns) in TABLES.items():
            source = sql.Identifier(f"warehouse_{layer}", model)
            found = server.execute("select to_regclass(%s)", [source.as_string(server)]).fetchone()
            if found is None or found[0] is None:
                raise _not_built(f"there is no {source.as_string(server)}")
            names = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
            query = sql.SQL("copy (select {} from {}) to stdout (format csv)")
            path = scratch / f"{name}.csv"
            copying = server.cursor().copy(query.format(names, source))
            with path.open("wb") as file, copying as stream:
                for chunk in stream:
                    file.write(chunk)
            declared = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            history.execute(f"create table {name} ({declared})")
            history.execute(f"copy {name} from '{path}' (format csv, header false)")
            path.unlink()


@contextmanager
def _written_by_spark(settings: Settings, history: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Views of files that Spark writes to the lake, since some tables are views in its catalog."""
    folder = settings.lake_dir / WRITTEN
    shutil.rmtree(folder, ignore_errors=True)
    server = use_spark(settings)
    try:
        try:
            with spark_session(server) as session:
                for name, (layer, model, columns) in TABLES.items():
                    found = session.table(f"warehouse_{layer}.{model}").select(*columns)
                    found.write.mode("overwrite").parquet(f"{settings.spark_lake}/{WRITTEN}/{name}")
        except SparkError as error:
            # A catalog ends with its server.
            raise _not_built(str(error)) from error
        fetch(settings, WRITTEN)
        for name, (_, _, columns) in TABLES.items():
            listed = ", ".join(f"{column}::{kind} as {column}" for column, kind in columns.items())
            history.execute(
                f"create view {name} as select {listed} from {scan_parts(folder / name)}"
            )
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        drop_from_lake(settings, {WRITTEN})


def _not_built(why: str) -> LearnError:
    return LearnError(
        f"The store's marts are not built ({why}): load its orders and run pollux build."
    )
