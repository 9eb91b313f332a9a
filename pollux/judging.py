"""Runs a Python predicate over millions of customers.

Belongs here: how a predicate gets to see customers. Does not belong here: conditions on columns,
which need no Python per row (`pollux.conditions`).

Making an object for every customer would cost more than most predicates do. So a few are judged
as ordinary objects, to see which columns the predicate touches; the others pass by as one object
whose slots for these columns are filled anew each time. Where the predicate keeps the object, the
next customer gets a new one, so that nobody can tell the difference.
"""

from array import array
from collections.abc import Callable
from itertools import islice, repeat
from sys import getrefcount
from typing import Any

from pollux.arrow import Numbers
from pollux.columns import CUSTOMER_ID, Columns
from pollux.customer import Individual

PROBED = 100
SLOTS = ("_first", "_second", "_third")


def judge(columns: Columns, kind: type[Individual], predicate: Callable[[Any], object]) -> Numbers:
    """Positions of the customers for whom the predicate is true.

    What it raises is raised, with a note that names the customer.
    """
    kept = array("q")
    keep = kept.append
    touched: dict[str, None] = {}
    probe = _probe_kind(kind, touched)
    customer: Any = None
    try:
        for position in range(min(PROBED, len(columns))):
            customer = probe(columns, position)
            if predicate(customer):
                keep(position)
            _make_ordinary(customer, kind)
        if len(columns) <= PROBED:
            return kept
        names = [n for n in touched if n == CUSTOMER_ID or n in columns.snapshot.names]
        names = names[: len(SLOTS)]
        passing = _passing_kind(kind, names)
        customer = passing(columns, PROBED)
        alone = getrefcount(customer)
        for (
            customer._position,
            customer._first,
            customer._second,
            customer._third,
        ) in _rows(columns, names):
            if predicate(customer):
                keep(customer._position)
            if getrefcount(customer) > alone:
                _make_ordinary(customer, kind)
                customer = passing(columns, PROBED)
    except Exception as error:
        if customer is not None:
            _make_ordinary(customer, kind)
            error.add_note(f"The predicate was judging {customer!r}.")
        raise
    return kept


def _rows(columns: Columns, names: list[str]) -> "zip[tuple[Any, ...]]":
    lists = [islice(columns.list(name), PROBED, None) for name in names]
    unused = [repeat(None)] * (len(SLOTS) - len(names))
    return zip(range(PROBED, len(columns)), *lists, *unused, strict=False)


def _probe_kind(kind: type[Individual], touched: dict[str, None]) -> type[Individual]:
    def getattribute(customer: Individual, name: str) -> Any:
        touched[name] = None
        return object.__getattribute__(customer, name)

    members = {"__slots__": (), "__getattribute__": getattribute}
    return type(kind.__name__, (kind,), members)


def _passing_kind(kind: type[Individual], names: list[str]) -> type[Individual]:
    filled = {name: Individual.__dict__[slot] for name, slot in zip(names, SLOTS, strict=False)}
    # Not the class's own, written in Python: it would take longer than the predicate.
    members = {"__slots__": (), "__setattr__": object.__setattr__, **filled}
    return type(kind.__name__, (kind,), members)


def _make_ordinary(customer: Individual, kind: type[Individual]) -> None:
    object.__setattr__(customer, "__class__", kind)
