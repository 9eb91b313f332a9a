"""Takes subjects out of what builds and releases keep: Parquet, lines by customer, warehouse.

Belongs here: writing files anew without their rows. Does not belong here: the landing zone, whose
parts carry records (`landed`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from pyarrow.dataset import dataset

from orchestration.erase.changes import Changes, Note
from orchestration.erase.columns import IdColumns, columns_of, find
from orchestration.load.landing import publish
from orchestration.scans import identifier, literal, scan_parquet
from pollux.runtime.duck import open_duckdb
from pollux.runtime.live_lines import PIECE_ROWS, open_lines, read_index, write_lines
from pollux.runtime.settings import Settings
from pollux.runtime.steps import step
from pollux.subjects import Subject


def erase_parquet(
    engine: duckdb.DuckDBPyConnection,
    path: Path,
    subjects: Sequence[Subject],
    columns: IdColumns,
    changes: Changes,
) -> int:
    """Prepares a Parquet file without the rows of subjects; returns how many it changes."""
    rows, kept = _without(engine, scan_parquet([path]), subjects, columns)
    if rows:
        successor = literal(str(changes.successor(path)))
        engine.execute(f"copy ({kept}) to {successor} (format parquet)").fetchall()
    return rows


def erase_lines(
    engine: duckdb.DuckDBPyConnection,
    path: Path,
    subjects: Sequence[Subject],
    columns: IdColumns,
    changes: Changes,
) -> int:
    """The same for a file of `pollux.runtime.live_lines`."""
    with shown_lines(engine, path) as source:
        rows, kept = _without(engine, source, subjects, columns)
        if rows:
            key = read_index(open_lines(path)).key
            lines = engine.sql(kept).to_arrow_reader(PIECE_ROWS)
            write_lines(changes.successor(path), key, lines)
    return rows


@contextmanager
def shown_lines(engine: duckdb.DuckDBPyConnection, path: Path) -> Iterator[str]:
    """The name of a relation of DuckDB that has the rows of such a file."""
    name = "lines_by_customer"
    engine.register(name, dataset(path, format="ipc"))
    try:
        yield name
    finally:
        engine.unregister(name)


def _without(
    engine: duckdb.DuckDBPyConnection,
    source: str,
    subjects: Sequence[Subject],
    columns: IdColumns,
) -> tuple[int, str]:
    """How many rows of a table or scan subjects are in, and the SQL of it without them."""
    found = find(columns_of(engine, source), subjects, columns)
    if not found:
        return 0, ""
    count = f"select count(*) from {source} where {found.any}"
    ((rows,),) = engine.execute(count).fetchall()
    emptied = ", ".join(
        f"case when not ({is_named}) then {identifier(name)} end as {identifier(name)}"
        for name, is_named in found.references.items()
    )
    replaced = f" replace ({emptied})" if emptied else ""
    return int(rows), f"select *{replaced} from {source} where not ({found.is_row})"


def erase_warehouse(
    settings: Settings,
    subjects: Sequence[Subject],
    columns: IdColumns,
    note: Note,
) -> None:
    """Takes subjects out of the DuckDB warehouse and copies it to a new file; first notes rows.

    DuckDB leaves in a file what was deleted from it. The caller holds the lock on the warehouse.
    """
    path = settings.warehouse_path
    if not path.exists():
        return
    unfinished = path.with_name(f"{path.name}.new")
    # DuckDB would add to a new file what the log of a killed copy has.
    for left in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
        left.unlink(missing_ok=True)
    with open_duckdb(path) as engine:
        engine.execute("set preserve_insertion_order = true")
        listed = engine.execute(
            "select schema_name, table_name, map(list(column_name), list(data_type)) "
            "from duckdb_columns() inner join duckdb_tables() "
            "using (database_name, schema_name, table_name) "
            "where database_name = current_database() group by all order by all"
        ).fetchall()
        named = {
            (schema, table): found
            for schema, table, present in listed
            if (found := find(present, subjects, columns))
        }
        for (schema, table), found in named.items():
            name = f"{identifier(schema)}.{identifier(table)}"
            count = f"select count(*) from {name} where {found.any}"
            ((rows,),) = engine.execute(count).fetchall()
            note({f"warehouse: {schema}.{table}": rows})
            engine.execute(f"delete from {name} where {found.is_row}").fetchall()
            for column, is_named in found.references.items():
                empty = f"update {name} set {identifier(column)} = null where {is_named}"
                engine.execute(empty).fetchall()
        step("erase.warehouse_deleted")
        current = identifier(engine.execute("select current_database()").fetchall()[0][0])
        engine.execute(f"attach {literal(str(unfinished))} as rewritten")
        engine.execute(f"copy from database {current} to rewritten").fetchall()
        step("erase.warehouse_copied")
        engine.execute("detach rewritten")
    publish(unfinished, path)
    step("erase.warehouse_replaced")
