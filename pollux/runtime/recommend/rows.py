"""The rows of `product_recommendations`: what is chosen for a household, and the reason in words.

Does not belong here: how candidates are scored.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pollux.runtime.recommend.baskets import Ints
from pollux.runtime.recommend.candidates import Candidates
from pollux.runtime.recommend.personal import Bought

PER_KIND = 40  # of repeat and of new products each, so that a reader may ask for either
LIKE_THIS_ONE = "bought by households like this one"
POPULAR = "popular"

SCHEMA = pa.schema(
    [
        ("household_key", pa.int64()),
        ("rank", pa.int64()),
        ("product_id", pa.int64()),
        ("score", pa.float64()),
        ("kind", pa.string()),
        ("reason", pa.string()),
        ("purchases", pa.int64()),
        ("usual_days", pa.int64()),
        ("last_days", pa.int64()),
    ]
)


def table_of(
    households: Ints,
    owner: Ints,
    found: Candidates,
    bought: Bought,
    products: Ints,
    last_day: int | Ints,
    per_kind: int = PER_KIND,
) -> pa.Table:
    """Households' best repeat and new products, by rank, as a table of `SCHEMA`.

    `found` are candidates of the households at positions `owner`, in any order; `bought` has a row
    per household, by position, and item that it bought, `products` the key of each item.
    `last_day` is that of the data, or one of each household.
    """
    owner, chosen = _both_kinds(owner, found, products, per_kind)
    begin = np.searchsorted(owner, np.arange(households.size))
    place = np.searchsorted(
        bought.customer * products.size + bought.item, owner * products.size + chosen.item
    )
    # Where an item is not the household's own, no matter whose row it is.
    place = np.minimum(place, max(bought.item.size - 1, 0))
    usual = np.maximum(np.rint(bought.interval), 1).astype(np.int64)[place]
    purchases = np.where(chosen.is_own, bought.purchases[place], 0)
    last = np.broadcast_to(last_day, households.shape)[owner]
    ago = (last - np.floor(bought.last)[place]).astype(np.int64)
    is_own = pa.array(chosen.is_own)
    words = pc.if_else(
        is_own,
        reasons(purchases, usual, ago),
        pc.if_else(pa.array(chosen.is_by_neighbours), LIKE_THIS_ONE, POPULAR),
    )
    columns = [
        pa.array(households[owner]),
        pa.array(np.arange(1, owner.size + 1) - begin[owner]),
        pa.array(products[chosen.item]),
        pa.array(chosen.score),
        pc.if_else(is_own, "repeat", "new"),
        words,
        pa.array(purchases),
        pa.array(usual, mask=purchases < 2),  # noqa: PLR2004
        pa.array(ago, mask=purchases < 1),
    ]
    return pa.table(columns, schema=SCHEMA)


def reasons(purchases: Ints, usual_days: Ints, last_days: Ints) -> pa.Array:
    """The reason for recommending each of some products that were bought before."""
    ago = pc.if_else(pa.array(last_days == 0), "today", _join(_days(last_days), " ago"))
    often = _join("bought ", _text(purchases), " times, usually every ")
    every = pc.if_else(pa.array(usual_days == 1), "day", _days(usual_days))
    return pc.if_else(
        pa.array(purchases == 1),
        _join("bought once, ", ago),
        _join(often, every, ", last ", ago),
    )


def _both_kinds(
    owner: Ints, found: Candidates, products: Ints, per_kind: int
) -> tuple[Ints, Candidates]:
    """The best own and the best new candidates of each owner, best first, and whose each is."""
    is_any = found.score > 0
    owner, found = owner[is_any], found.at(is_any)
    # Of one score, those of the lower product first.
    order = np.lexsort((products[found.item], -found.score, owner))
    owner, found = owner[order], found.at(order)
    kept = np.where(found.is_own, _number(found.is_own, owner), _number(~found.is_own, owner))
    return owner[kept <= per_kind], found.at(kept <= per_kind)


def _number(is_one: npt.NDArray[np.bool_], owner: Ints) -> Ints:
    """How many there are up to each place among those of its owner; owners are ascending."""
    many: Ints = np.cumsum(is_one)
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    before = many[first] - is_one[first]
    return many - np.repeat(before, np.diff(first, append=owner.size))


def _days(many: Ints) -> pa.Array:
    return _join(_text(many), pc.if_else(pa.array(many == 1), " day", " days"))


def _text(numbers: Ints) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _join(*texts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*texts, "")
