"""Models as one statement of DuckDB, planned once and run over other rows each time.

DuckDB plans a statement anew at each run if it reads a table, since a plan may use what the table's
statistics say; planning some thirty models takes a hundred times as long as evaluating them for one
customer. Of a stream of Arrow it knows the schema only. So everything is read from streams.
"""

from collections.abc import Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa

from pollux.runtime.live_plan import LiveModel


class Given:
    """A relation of rows that change: none until they are given."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self.clear()

    def clear(self) -> None:
        """Leaves no rows."""
        self._rows = self._schema.empty_table()

    def give(self, rows: pa.Table) -> None:
        """Replaces the rows; raises `pyarrow.ArrowInvalid` where values do not fit the schema."""
        self._rows = rows.select(self._schema.names).cast(self._schema)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows as they are now; DuckDB asks for them whenever a statement runs."""
        return self._rows.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        """Their schema, by which statements are planned."""
        return self._schema.__arrow_c_schema__()


class Statement:
    """Rows of several models; `wanted` has a condition of SQL for each, `true` for all rows."""

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        name: str,
        models: Sequence[LiveModel],
        wanted: Mapping[str, str],
    ) -> None:
        self._engine = engine
        read = needed(models, wanted)
        # Each is evaluated once, however many read it.
        steps = ", ".join(
            f"{quoted(model.name)} as ({typed(model.sql, model.columns)})"
            for model in models
            if model.name in read
        )
        # A statement has one table: of a row, with a list of each model's rows.
        lists = ", ".join(
            f"(select list(found) from (from {quoted(model)} where {condition}) as found) "
            f"as {quoted(model)}"
            for model, condition in wanted.items()
        )
        self._run = f"execute {quoted(name)}"
        engine.execute(f"prepare {quoted(name)} as with {steps} select {lists}")

    def run(self) -> dict[str, pa.Table]:
        """The rows of each model that is wanted."""
        row = self._engine.sql(self._run).to_arrow_table()
        return {
            name: pa.Table.from_batches(
                [pa.RecordBatch.from_struct_array(chunk.flatten()) for chunk in column.chunks]
            )
            for name, column in zip(row.column_names, row.columns, strict=True)
        }


def needed(models: Sequence[LiveModel], wanted: Iterable[str]) -> set[str]:
    """The names of some models and of all that they read."""
    found = set(wanted)
    for model in reversed(models):
        if model.name in found:
            found |= {one.name for one in models if reads(model, one.name)}
    return found


def reading(models: Sequence[LiveModel], relation: str) -> set[str]:
    """The names of the models that read a relation, or others that do."""
    found = {relation}
    for model in models:
        if any(reads(model, one) for one in found):
            found.add(model.name)
    return found - {relation}


def reads(model: LiveModel, relation: str) -> bool:
    """Whether a model's SQL names a relation."""
    return quoted(relation) in model.sql


def typed(sql: str, columns: Sequence[tuple[str, str]]) -> str:
    """SQL whose columns have these names and types, in this order."""
    if not columns:
        return sql
    casts = ", ".join(f"cast({quoted(name)} as {kind}) as {quoted(name)}" for name, kind in columns)
    return f"select {casts} from ({sql})"


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
