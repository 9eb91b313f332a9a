"""Cohorts: sequences of customers that hold columns, not objects.

Belongs here: what can be done with many customers. Does not belong here: how their data are kept
(`pollux.columns`) and read (`pollux.sources`).
"""

import inspect
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import pyarrow as pa
import pyarrow.compute as pc

from pollux.arrow import Rows, one_chunk, pick, rows_array, rows_of
from pollux.columns import CUSTOMER_ID, Columns, Snapshot
from pollux.conditions import matches
from pollux.customer import CLASSES, Customer, DomainName, Individual
from pollux.domains import Domain, domain_named
from pollux.enrichment import EnrichmentData, TableEnrichment
from pollux.enrichment import registry as built_in
from pollux.errors import GatewayError, UnknownEnrichment
from pollux.frames import to_frame
from pollux.runtime.settings import Settings
from pollux.sources import SourceName, open_source, settings_now

if TYPE_CHECKING:
    import pandas as pd

C = TypeVar("C", bound=Individual)


class Cohort(Sequence[C], Generic[C]):
    """Customers of one domain in one release, each once, in order; a read-only list.

    A cohort keeps to the release it was made from, for its enrichments too. Cohorts made from it
    inherit the attributes that enrichments have set so far; later changes stay separate.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._kind = CLASSES[columns.snapshot.domain.name]

    @overload
    @classmethod
    def init_all_customers(
        cls: "type[Cohort[Any]]",
        *,
        domain: Literal["customer"] = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Customer]": ...

    @overload
    @classmethod
    def init_all_customers(
        cls: "type[Cohort[Any]]",
        *,
        domain: DomainName,
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Any]": ...

    @classmethod
    def init_all_customers(
        cls: "type[Cohort[Any]]",
        *,
        domain: DomainName = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Any]":
        """All customers of the release that is served now, ascending by id.

        `source` is release (its Parquet files), store (PostgreSQL) or auto; all give the same.
        Raises `NoDatabaseError` or `NothingReleasedError`.
        """
        asked = domain_named(domain)
        found = open_source(settings or settings_now(), asked, source)
        table = found.read(asked.table)
        snapshot = Snapshot(found, asked, table, is_complete=True)
        return cls(Columns(snapshot, range(len(table))))

    @overload
    @classmethod
    def init_sample(
        cls: "type[Cohort[Any]]",
        size: int = 1000,
        *,
        seed: int | None = None,
        domain: Literal["customer"] = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Customer]": ...

    @overload
    @classmethod
    def init_sample(
        cls: "type[Cohort[Any]]",
        size: int = 1000,
        *,
        seed: int | None = None,
        domain: DomainName,
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Any]": ...

    @classmethod
    def init_sample(
        cls: "type[Cohort[Any]]",
        size: int = 1000,
        *,
        seed: int | None = None,
        domain: DomainName = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Any]":
        """`size` customers drawn at random, or all where there are fewer, ascending by id.

        The same seed draws the same customers from the same release.
        """
        asked = domain_named(domain)
        found = open_source(settings or settings_now(), asked, source)
        ids = found.read(asked.table, columns=[asked.id_column])[asked.id_column]
        drawn = Random(seed).sample(range(len(ids)), min(size, len(ids)))  # noqa: S311
        chosen = ids.take(rows_array(array("q", sorted(drawn)))).combine_chunks()
        table = found.read(asked.table, id_column=asked.id_column, ids=chosen)
        snapshot = Snapshot(found, asked, table, is_complete=False)
        return cls(Columns(snapshot, range(len(table))))

    @overload
    @classmethod
    def from_ids(
        cls: "type[Cohort[Any]]",
        customer_ids: Iterable[str | int],
        *,
        domain: Literal["customer"] = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Customer]": ...

    @overload
    @classmethod
    def from_ids(
        cls: "type[Cohort[Any]]",
        customer_ids: Iterable[str | int],
        *,
        domain: DomainName,
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Any]": ...

    @classmethod
    def from_ids(
        cls: "type[Cohort[Any]]",
        customer_ids: Iterable[str | int],
        *,
        domain: DomainName = "customer",
        source: SourceName = "auto",
        settings: Settings | None = None,
    ) -> "Cohort[Any]":
        """The customers of these ids, in their order, each once.

        Raises `UnknownCustomer` for the first id that nobody has.
        """
        asked = domain_named(domain)
        keys = list(dict.fromkeys(asked.key(customer_id) for customer_id in customer_ids))
        found = open_source(settings or settings_now(), asked, source, prefer_store=True)
        table = found.read(asked.table, id_column=asked.id_column, ids=asked.array(keys))
        snapshot = Snapshot(found, asked, table, is_complete=False)
        rows = array("q")
        for key in keys:
            row = snapshot.find(key)
            if row is None:
                raise asked.unknown(key)
            rows.append(row)
        return cls(Columns(snapshot, rows))

    @property
    def domain(self) -> str:
        """Name of the domain."""
        return self._domain.name

    @property
    def release(self) -> int:
        """Number of the release that the cohort keeps to."""
        return self._columns.snapshot.source.number

    @property
    def ids(self) -> list[str]:
        """The customers' ids, as text, in order."""
        return list(self._columns.list(CUSTOMER_ID))

    def by_id(self, customer_id: str | int) -> C:
        """The customer with an id; raises `UnknownCustomer` where it is not in the cohort."""
        position = self._columns.find(self._domain.key(customer_id))
        if position is None:
            raise self._domain.unknown(customer_id)
        return self._at(position)

    def generate_cohort(self, predicate: Callable[[C], object]) -> "Cohort[C]":
        """The customers for whom a Python function is true, in order.

        The function only reads the customer. If it fails, for instance by comparing a date that
        is None, its exception is raised with a note that shows the customer.
        """
        kept = array("q")
        for position, customer in enumerate(self):
            try:
                if predicate(customer):
                    kept.append(position)
            except Exception as error:
                error.add_note(f"The predicate was judging {customer!r}.")
                raise
        return self._child(kept)

    def where(self, *conditions: pc.Expression, **equal: Any) -> "Cohort[C]":
        """The customers for whom all conditions hold, in order; evaluated on whole columns.

        Conditions are expressions such as `col("sign_up_date") >= date(2021, 1, 1)`, combined with
        `&`, `|` and `~`; keywords give a column's value in any spelling that loses nothing, None
        for null, or a list of values. Raises `UnknownColumn`, which lists the columns, and
        `GatewayError` for a value that its column cannot hold, and for an unknown name.
        """
        snapshot = self._columns.snapshot
        met = matches(snapshot.table, conditions, equal, snapshot.known_names)
        return self._child(rows_of(pc.indices_nonzero(pick(met, self._columns.rows))))

    def update_customers(
        self, name: str, registry: Mapping[str, type[EnrichmentData]] | None = None
    ) -> EnrichmentData:
        """Runs the enrichment of that name, from the built-in registry or your own.

        Returns the enrichment with the data it has loaded. Raises `UnknownEnrichment`, which
        lists the known ones.
        """
        known = built_in if registry is None else registry
        kind = known.get(name)
        if kind is None or self._is_foreign(kind):
            usable = [other for other, found in known.items() if not self._is_foreign(found)]
            raise UnknownEnrichment(
                f"There is no enrichment {name!r} for domain {self.domain}; there are: "
                f"{', '.join(sorted(usable)) or 'none'}."
            )
        enrichment = kind()
        enrichment.cohort = self
        # A table enrichment takes the ids from the cohort itself.
        needs_ids = not isinstance(enrichment, TableEnrichment)
        takes_ids = bool(inspect.signature(enrichment.query_data).parameters)
        if needs_ids and takes_ids:
            enrichment.query_data(self.ids)
        else:
            enrichment.query_data()
        enrichment.update_cohort(self)
        return enrichment

    def read_table(
        self,
        table: str,
        *,
        id_column: str | None = None,
        columns: list[str] | None = None,
        customer_ids: Sequence[str] | None = None,
    ) -> pa.Table:
        """The rows of a mart that belong to the cohort's customers, from the cohort's release.

        `id_column` is the mart's column of ids, by default that of the domain. Rows are in the
        order of the mart's key. Raises `ReleaseGoneError` where the release is no longer kept.
        """
        domain = self._domain
        if customer_ids is not None:
            ids = domain.array([domain.key(customer_id) for customer_id in customer_ids])
        elif self._columns.is_everyone:
            return self._read_all(table, id_column or domain.id_column, columns)
        else:
            ids = self._ids()
        source = self._columns.snapshot.source
        return source.read(table, columns=columns, id_column=id_column or domain.id_column, ids=ids)

    def attach(self, name: str, derive: Callable[[int | str], Any]) -> None:
        """Sets an attribute of every customer, by a function of the id as the mart holds it.

        Meant for millions of customers; setting it on one after the other has the same effect.
        """
        self._columns.attach(name, derive)

    def to_arrow(self) -> pa.Table:
        """The columns of the mart, in the cohort's order."""
        return self._columns.table()

    def to_pandas(self) -> "pd.DataFrame":
        """The columns as a pandas frame; raises `GatewayError` without pandas."""
        return to_frame(self.to_arrow(), "pandas")

    def to_polars(self) -> Any:
        """The columns as a polars frame; raises `GatewayError` without polars."""
        return to_frame(self.to_arrow(), "polars")

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, index: int) -> C: ...

    @overload
    def __getitem__(self, index: slice) -> "Cohort[C]": ...

    def __getitem__(self, index: int | slice) -> "C | Cohort[C]":
        if isinstance(index, slice):
            return type(self)(self._columns.select(self._columns.rows[index]))
        position = range(len(self))[index]
        return self._at(position)

    def __iter__(self) -> Iterator[C]:
        places = zip(repeat(self._columns), range(len(self)))
        return map(self._kind, places)  # type: ignore[arg-type]

    def __reversed__(self) -> Iterator[C]:
        return map(self._at, reversed(range(len(self))))

    def __contains__(self, customer: object) -> bool:
        """Whether a customer is in the cohort, given as an object or by id."""
        return self._find(customer) is not None

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Position of a customer, given as an object or by id; raises `ValueError` without one."""
        position = self._find(value)
        if position is None or position not in range(len(self))[start:stop]:
            raise ValueError(f"{value!r} is not in the cohort")
        return position

    def count(self, value: Any) -> int:
        """1 where the customer is in the cohort, else 0."""
        return int(value in self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cohort):
            return NotImplemented
        return self.domain == other.domain and self._ids().equals(other._ids())

    __hash__ = None  # type: ignore[assignment]

    def __and__(self, other: "Cohort[C]") -> "Cohort[C]":
        return self._child(rows_of(pc.indices_nonzero(self._is_in(other))))

    def __sub__(self, other: "Cohort[C]") -> "Cohort[C]":
        return self._child(rows_of(pc.indices_nonzero(pc.invert(self._is_in(other)))))

    def __or__(self, other: "Cohort[C]") -> "Cohort[C]":
        self._demand_same_domain(other)
        return self._joined(other - self)

    def __xor__(self, other: "Cohort[C]") -> "Cohort[C]":
        return (self - other)._joined(other - self)

    def __repr__(self) -> str:
        return f"<Cohort of {len(self):,} from domain {self.domain}, release {self.release}>"

    @property
    def _domain(self) -> Domain:
        return self._columns.snapshot.domain

    def _at(self, position: int) -> C:
        return self._kind((self._columns, position))  # type: ignore[return-value]

    def _child(self, positions: Rows) -> "Cohort[C]":
        rows = self._columns.rows
        if not (isinstance(rows, range) and rows == range(len(self._columns.snapshot.table))):
            positions = rows_of(pick(rows_array(rows), positions))
        return type(self)(self._columns.select(positions))

    def _find(self, customer: object) -> int | None:
        if isinstance(customer, Individual):
            customer = customer.customer_id if customer.domain == self._domain else None
        try:
            return self._columns.find(self._domain.key(customer))
        except LookupError:
            return None

    def _ids(self) -> pa.Array:
        return self._columns.array(self._domain.id_column)

    def _demand_same_domain(self, other: "Cohort[C]") -> None:
        if self.domain != other.domain:
            raise GatewayError(
                f"One cohort is of domain {self.domain}, the other of {other.domain}."
            )

    def _is_in(self, other: "Cohort[C]") -> pa.Array:
        self._demand_same_domain(other)
        return pc.is_in(self._ids(), value_set=other._ids())

    def _joined(self, other: "Cohort[C]") -> "Cohort[C]":
        """These customers, then those of the other cohort, which shares none with this one."""
        mine, others = self._columns.snapshot, other._columns.snapshot
        if mine is others:
            rows = array("q", self._columns.rows)
            rows.extend(other._columns.rows)
            return type(self)(Columns(mine, rows))
        if mine.source.number != others.source.number:
            raise GatewayError(
                f"One cohort is of release {mine.source.number} of {self.domain}, the other of "
                f"{others.source.number}: make both from the same one."
            )
        table = one_chunk(pa.concat_tables([self.to_arrow(), other.to_arrow()]))
        order = pc.sort_indices(table[self._domain.id_column])
        snapshot = Snapshot(
            mine.source, self._domain, one_chunk(table.take(order)), is_complete=False
        )
        return type(self)(Columns(snapshot, rows_of(pc.sort_indices(order))))

    def _read_all(self, table: str, id_column: str, columns: list[str] | None) -> pa.Table:
        """The cohort's rows, from the whole table, so that millions of ids are not sent."""
        needed = None if columns is None else list(dict.fromkeys([*columns, id_column]))
        found = self._columns.snapshot.source.read(table, columns=needed, id_column=id_column)
        is_mine = pc.is_in(found[id_column], value_set=self._ids())
        if pc.all(is_mine).as_py() is False:
            # Rows of somebody outside the cohort, such as a visitor who is not a member.
            found = one_chunk(found.filter(is_mine))
        return found if columns is None else found.select(columns)

    def _is_foreign(self, kind: type[EnrichmentData]) -> bool:
        return getattr(kind, "domain", self._domain) != self._domain
