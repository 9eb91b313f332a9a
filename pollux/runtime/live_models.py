"""Live marts: the models of a release, evaluated over the lines of a few customers.

Belongs here: the folder `live` of a release, whose `models.json` is a `LivePlan`, and evaluating
it. Does not belong here: writing the folder (`orchestration.transform.live_files`), and which
customers are meant. A rule of a mart stands in no line of Python: this runs the SQL that dbt
compiled.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from pollux.runtime.duck import open_duckdb
from pollux.runtime.recommend.learned import NEIGHBOURS_FILE, read_learned

PLAN = "models.json"
MEMORY_LIMIT = "512MB"
# Of lines by customer: so few that little is read for one, so many that the index stays small.
ROW_GROUP_ROWS = 8192


@dataclass(frozen=True)
class LiveModel:
    """A model: SQL of DuckDB over models of the same plan, by their names.

    `columns` are names and types of a mart's contract, in order; other models have the types of
    their SQL. `is_mart` says whether it is answered live.
    """

    name: str
    sql: str
    columns: tuple[tuple[str, str], ...] = ()
    is_mart: bool = False


@dataclass(frozen=True)
class LearnedRows:
    """Rows that no SQL makes: `relation` is made from model `purchases` and what was learned."""

    relation: str
    purchases: str


@dataclass(frozen=True)
class LivePlan:
    """What a release's live marts are evaluated from; each name is that of a relation in the SQL.

    `released` and `customers` are Parquet files beside the plan: what concerns the whole
    population, and lines of single customers, each sorted by the column by which they are found:
    `key`, or that of an order or the like. `lines` are events, with columns and
    types of their dataset, and `days` has the day that live purchases move the window to. `models`
    come in the order in which they read each other. Where `learned` says so, there are also the
    files of `pollux.runtime.recommend.learned`.
    """

    domain: str
    key: str
    released: tuple[str, ...]
    customers: dict[str, str]
    lines: str
    lines_columns: tuple[tuple[str, str], ...]
    days: tuple[str, ...]
    models: tuple[LiveModel, ...]
    learned: LearnedRows | None = None


def read_plan(folder: Path) -> LivePlan:
    """The plan in a release's folder `live`; raises `OSError` or `ValueError`."""
    return TypeAdapter(LivePlan).validate_json((folder / PLAN).read_bytes())


def write_plan(folder: Path, plan: LivePlan) -> None:
    """Writes the plan into a folder."""
    (folder / PLAN).write_bytes(TypeAdapter(LivePlan).dump_json(plan, indent=1))


class LiveModels:
    """The live marts of one release. Calls may come from any thread; nothing stays between them."""

    def __init__(self, folder: Path) -> None:
        self._plan = plan = read_plan(folder)
        self.domain = plan.domain
        self.key = plan.key
        self.marts = tuple(model.name for model in plan.models if model.is_mart)
        self._customers = {
            name: _CustomerFile(folder / f"{name}.parquet", column)
            for name, column in plan.customers.items()
        }
        if plan.learned is not None:
            self._learned = read_learned(folder)
            self._neighbours = _CustomerFile(folder / NEIGHBOURS_FILE, plan.key)
        self._database = open_duckdb()
        # Of so few rows, planning takes most of the time.
        self._database.execute("set threads = 1")
        self._database.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        # No lines of customers in files that no erasure finds.
        self._database.execute("set temp_directory = ''")
        for name in plan.released:
            _create(
                self._database, "table", name, pq.ParquetFile(folder / f"{name}.parquet").read()
            )

    def compute(
        self, keys: Sequence[int], lines: pa.Table | None, live_day: int | None
    ) -> dict[str, pa.Table]:
        """The rows of these customers in each live mart, with the columns of its contract.

        `lines` are all events of these customers, and all others of orders that they name, with
        the columns of their dataset, None where there are none; `live_day` is the last day of
        live purchases, by number. Raises `duckdb.Error` where values do not fit.
        """
        plan = self._plan
        wanted = sorted(set(keys))
        # What a connection makes for itself goes with it.
        with self._database.cursor() as engine:
            if lines is None:
                lines = pa.table({name: pa.nulls(0) for name, _ in plan.lines_columns})
            _create(engine, "temp table", plan.lines, lines, plan.lines_columns)
            for name in plan.days:
                days = pa.table({"day": pa.array([live_day] if live_day else [], pa.int32())})
                _create(engine, "temp table", name, days)
            for name, rows in self._read(wanted, lines).items():
                _create(engine, "temp table", name, rows)
            for model in plan.models:
                # As tables, so that each is evaluated once, however many read it.
                engine.execute(
                    f"create temp table {_name(model.name)} as {_typed(model.sql, model.columns)}"
                )
                if plan.learned is not None and plan.learned.purchases == model.name:
                    self._recommend(engine, plan.learned, wanted, live_day)
            # Events of an order may name other customers, too.
            asked = f"where {_name(self.key)} in ({', '.join(map(str, wanted)) or 'null'})"
            return {
                name: engine.sql(f"from {_name(name)} {asked}").to_arrow_table()
                for name in self.marts
            }

    def _recommend(
        self,
        engine: duckdb.DuckDBPyConnection,
        learned: LearnedRows,
        keys: Sequence[int],
        live_day: int | None,
    ) -> None:
        purchases = engine.sql(f"from {_name(learned.purchases)}").to_arrow_table()
        rows = self._learned.recommend(purchases, self._neighbours.read(keys), live_day)
        _create(engine, "temp table", learned.relation, rows)

    def _read(self, keys: Sequence[int], lines: pa.Table) -> dict[str, pa.Table]:
        """The released lines of customers, and those that these or their events name."""
        found = {
            name: self._customers[name].read(keys)
            for name, column in self._plan.customers.items()
            if column == self.key
        }
        naming = [lines, *found.values()]
        for name, column in self._plan.customers.items():
            if column != self.key:
                named = [rows[column].to_pylist() for rows in naming if column in rows.column_names]
                values = {value for some in named for value in some} - {None}
                found[name] = self._customers[name].read(sorted(values))
        return found

    def close(self) -> None:
        """Frees the memory."""
        self._database.close()


class _CustomerFile:
    """Lines by customer in a Parquet file sorted by a key; reads only row groups that matter."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._opened: tuple[int, int] | None = None

    def read(self, keys: Sequence[int]) -> pa.Table:
        """The lines of these customers."""
        # An erasure puts another file in its place.
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            identity = (found.st_ino, found.st_mtime_ns)
            if identity != self._opened:
                self._index(pq.read_metadata(file))
                self._opened = identity
            parquet = pq.ParquetFile(file, metadata=self._metadata)
            rows = parquet.read_row_groups(self._groups(keys), use_threads=False)
        # An empty list of values has no type of its own.
        values = pa.array(keys, rows.schema.field(self._key).type)
        return rows.filter(pc.is_in(rows[self._key], values))

    def _index(self, metadata: pq.FileMetaData) -> None:
        self._metadata = metadata
        column = metadata.schema.names.index(self._key)
        # An erasure of all rows leaves a row group of none, which has no statistics.
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        self._numbers = [number for number, group in enumerate(groups) if group.num_rows]
        ranges = [groups[number].column(column).statistics for number in self._numbers]
        self._firsts = [found.min for found in ranges]
        self._lasts = [found.max for found in ranges]

    def _groups(self, keys: Sequence[int]) -> list[int]:
        found = set()
        for key in keys:
            group = bisect_left(self._lasts, key)
            while group < len(self._firsts) and self._firsts[group] <= key:
                found.add(self._numbers[group])
                group += 1
        return sorted(found)


def _create(
    engine: duckdb.DuckDBPyConnection,
    kind: str,
    name: str,
    rows: pa.Table,
    columns: Sequence[tuple[str, str]] = (),
) -> None:
    engine.register("rows given", rows)
    try:
        typed = _typed('from "rows given"', columns)
        engine.execute(f"create {kind} {_name(name)} as {typed}")
    finally:
        engine.unregister("rows given")


def _typed(sql: str, columns: Sequence[tuple[str, str]]) -> str:
    """SQL whose columns have these names and types, in this order."""
    if not columns:
        return sql
    casts = ", ".join(f"cast({_name(name)} as {kind}) as {_name(name)}" for name, kind in columns)
    return f"select {casts} from ({sql})"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
