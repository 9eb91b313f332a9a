"""The rows of `product_recommendations`: what is chosen for a household, and the reason in words.

Does not belong here: how candidates are scored.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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

Columns = Mapping[str, npt.NDArray[Any]]


def columns_of(
    household: int,
    found: Candidates,
    bought: Bought,
    products: Ints,
    last_day: int,
    per_kind: int = PER_KIND,
) -> Columns:
    """A household's best repeat and new products, by rank.

    `bought` has a row per item that the household bought, `products` the key of each item,
    `last_day` is that of the data.
    """
    chosen = _both_kinds(found, per_kind)
    item = found.item[chosen]
    place = np.minimum(np.searchsorted(bought.item, item), bought.item.size - 1)
    is_own = found.is_own[chosen]
    usual = np.maximum(np.rint(bought.interval), 1).astype(np.int64)
    count = np.where(is_own, bought.purchases[place], 0)
    every = np.where(is_own, usual[place], 0)
    ago = np.where(is_own, last_day - np.floor(bought.last)[place], 0).astype(np.int64)
    words = [
        reason(int(n), int(d), int(a)) if n else (LIKE_THIS_ONE if like else POPULAR)
        for n, d, a, like in zip(count, every, ago, found.is_by_neighbours[chosen], strict=True)
    ]
    return {
        "household_key": np.full(item.size, household),
        "rank": np.arange(1, item.size + 1),
        "product_id": products[item],
        "score": found.score[chosen],
        "reason": np.array(words, dtype=object),
        "purchases": count,
        "usual_days": every,
        "last_days": ago,
    }


def table_of(households: Sequence[Columns]) -> pa.Table:
    """What `columns_of` gives of households as a table of `SCHEMA`."""
    if not households:
        return SCHEMA.empty_table()
    columns = {name: np.concatenate([one[name] for one in households]) for name in households[0]}
    purchases = columns["purchases"]
    arrays = {
        name: pa.array(columns[name])
        for name in ("household_key", "rank", "product_id", "score", "purchases")
    }
    arrays["kind"] = pa.array(np.where(purchases > 0, "repeat", "new").tolist(), pa.string())
    arrays["reason"] = pa.array(columns["reason"].tolist(), pa.string())
    arrays["usual_days"] = pa.array(columns["usual_days"], mask=purchases < 2)  # noqa: PLR2004
    arrays["last_days"] = pa.array(columns["last_days"], mask=purchases < 1)
    return pa.table([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


def reason(purchases: int, usual_days: int, last_days: int) -> str:
    """The reason for recommending a product that was bought before."""
    ago = (
        "today" if last_days == 0 else ("1 day ago" if last_days == 1 else f"{last_days} days ago")
    )
    if purchases == 1:
        return f"bought once, {ago}"
    return f"bought {purchases} times, usually every {_days(usual_days)}, last {ago}"


def _both_kinds(found: Candidates, per_kind: int) -> Ints:
    """Positions of the best own and the best new candidates, best first."""
    # Of one score, those of the lower item first, in the order of which they come.
    order = np.argsort(-found.score, kind="stable")
    order = order[found.score[order] > 0]
    is_own = found.is_own[order]
    kept = np.where(is_own, np.cumsum(is_own), np.cumsum(~is_own)) <= per_kind
    chosen: Ints = order[kept]
    return chosen


def _days(many: int) -> str:
    return "day" if many == 1 else f"{many} days"
