"""The columns of a cohort: a snapshot of a release's customers, and which of them are in it.

Belongs here: values by position, enriched attributes, and how derived cohorts share them.
Does not belong here: what a user sees, which is `Cohort` and the classes of customers.

A snapshot is never changed. A cohort is some of its rows in some order. Attributes set by
enrichments are kept by snapshot row, so that a child takes over its parent's without a copy.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pollux.arrow import Rows, is_ascending, pick, rows_array, sorted_ids, to_list
from pollux.domains import Domain
from pollux.errors import GatewayError
from pollux.names import MAX_NAMES
from pollux.sources import Source

# After so many single reads of a column it pays to convert all its values.
SINGLE_READS = 64
CUSTOMER_ID = "customer_id"


class Snapshot:
    """The table of a domain's customers in one release, ascending by id.

    `is_complete` tells whether it holds all customers of the release.
    """

    def __init__(
        self, source: Source, domain: Domain, table: pa.Table, *, is_complete: bool
    ) -> None:
        ids = table[domain.id_column].chunk(0) if len(table) else pa.array([], pa.int64())
        if len(table) and not is_ascending(ids):
            table = table.take(pc.sort_indices(ids)).combine_chunks()
        self.source = source
        self.domain = domain
        self.table = table
        self.is_complete = is_complete
        self.names: list[str] = table.column_names

    def array(self, name: str) -> pa.Array:
        """A column as one array."""
        column = self.table[name]
        return column.chunk(0) if column.num_chunks else pa.array([], column.type)

    def known_names(self, name: str) -> Sequence[str]:
        """The texts of a column in the whole release, sorted; none if they are too many."""
        if self.is_complete:
            column = self.table[name]
        else:
            column = self.source.read(self.domain.table, columns=[name])[name]
        found = pc.drop_null(pc.unique(column))
        return sorted(found.to_pylist()) if len(found) <= MAX_NAMES else []

    @cached_property
    def ids(self) -> Sequence[Any]:
        """The ids as the mart holds them, ascending."""
        return sorted_ids(self.array(self.domain.id_column))

    def find(self, key: int | str) -> int | None:
        """The row of an id, None where there is none."""
        row = bisect_left(self.ids, key)
        return row if row < len(self.ids) and self.ids[row] == key else None


class Attribute:
    """The values that enrichments set under one name, by snapshot row.

    `assigned` holds values set for single customers, `derive` gives the value of any other.
    """

    def __init__(self, derive: Callable[[int], Any] | None = None) -> None:
        self.derive = derive
        self.assigned: dict[int, Any] = {}

    def copy(self) -> "Attribute":
        """A copy whose changes do not affect this one."""
        other = Attribute(self.derive)
        other.assigned = self.assigned.copy()
        return other


class Columns:
    """Some customers of a snapshot, in order: `rows` are their rows in the snapshot."""

    def __init__(
        self, snapshot: Snapshot, rows: Rows, attributes: dict[str, Attribute] | None = None
    ) -> None:
        self.snapshot = snapshot
        self.rows = rows
        self.lists: dict[str, list[Any]] = {}
        self._reads: dict[str, int] = {}
        self._attributes = attributes or {}
        # Attributes that no other cohort shares.
        self._own: set[str] = set()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_everyone(self) -> bool:
        """Whether these are all customers of the release."""
        return self.snapshot.is_complete and len(self) == len(self.snapshot.table)

    def select(self, rows: Rows) -> "Columns":
        """Other rows of the snapshot, with the attributes set so far."""
        self._own.clear()
        return Columns(self.snapshot, rows, dict(self._attributes))

    def alone(self, position: int) -> "Columns":
        """One customer with its attributes, apart from all others."""
        snapshot = self.snapshot
        table = snapshot.table.take(rows_array(self.rows[position : position + 1]))
        attributes = {}
        for name in self._attributes:
            with suppress(KeyError):
                value = self.attribute(name, position)
                attributes[name] = Attribute()
                attributes[name].assigned[0] = value
        only = Snapshot(snapshot.source, snapshot.domain, table, is_complete=False)
        return Columns(only, range(1), attributes)

    def array(self, name: str) -> pa.Array:
        """A column in the order of the cohort."""
        return pick(self.snapshot.array(name), self.rows)

    def table(self) -> pa.Table:
        """All columns in the order of the cohort."""
        if isinstance(self.rows, range) and self.rows.step == 1:
            return self.snapshot.table.slice(self.rows.start, len(self))
        return self.snapshot.table.take(rows_array(self.rows))

    def key(self, position: int) -> int | str:
        """The id at a position as the mart holds it."""
        found: int | str = self.snapshot.ids[self.rows[position]]
        return found

    @cached_property
    def position_of_row(self) -> dict[int, int]:
        """Positions by snapshot row."""
        return {row: position for position, row in enumerate(self.rows)}

    def find(self, key: int | str) -> int | None:
        """The position of an id, None where it is not in the cohort."""
        row = self.snapshot.find(key)
        if row is None:
            return None
        if isinstance(self.rows, range):
            return self.rows.index(row) if row in self.rows else None
        return self.position_of_row.get(row)

    def value(self, name: str, position: int) -> Any:
        """One value of a column; after a few reads the whole column becomes a list."""
        if name in self.lists:
            return self.lists[name][position]
        reads = self._reads.get(name, 0)
        if reads >= min(SINGLE_READS, len(self)):
            return self.list(name)[position]
        self._reads[name] = reads + 1
        if name == CUSTOMER_ID:
            return str(self.key(position))
        return self.snapshot.array(name)[self.rows[position]].as_py()

    def list(self, name: str) -> "list[Any]":
        """All values of a column as Python objects; `customer_id` gives the ids as text."""
        if name not in self.lists:
            if name == CUSTOMER_ID:
                ids = to_list(self.array(self.snapshot.domain.id_column))
                self.lists[name] = list(map(str, ids))
            else:
                self.lists[name] = to_list(self.array(name))
        return self.lists[name]

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Names that enrichments have set for at least one customer."""
        return tuple(self._attributes)

    def attribute(self, name: str, position: int) -> Any:
        """The value that an enrichment set; raises `KeyError` where none did."""
        attribute = self._attributes[name]
        row = self.rows[position]
        if row in attribute.assigned:
            return attribute.assigned[row]
        if attribute.derive is None:
            raise KeyError(name)
        return attribute.derive(row)

    def assign(self, name: str, position: int, value: Any) -> None:
        """Sets an attribute of one customer in this cohort, and in no other."""
        if name not in self._own:
            shared = self._attributes.get(name)
            self._attributes[name] = shared.copy() if shared else Attribute()
            self._own.add(name)
        self._attributes[name].assigned[self.rows[position]] = value

    def attach(self, name: str, derive: Callable[[int | str], Any]) -> None:
        """Sets an attribute of every customer: a function of the id as the mart holds it."""
        if name in self.snapshot.names or name == CUSTOMER_ID:
            raise GatewayError(f"{name} is a column of the customers; no enrichment may set it.")
        ids = self.snapshot.ids
        self._attributes[name] = Attribute(lambda row: derive(ids[row]))
        self._own.add(name)
