"""Recommendations for the households of the grocery data, each with a reason.

Belongs here: making rows of `product_recommendations` from purchases, and the text of a reason.
Does not belong here: reading purchases and landing rows (`land`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from orchestration.learn.recommend.baskets import Baskets, Floats, Ints, dated_baskets
from orchestration.learn.recommend.choose import choose
from orchestration.learn.recommend.model import Candidates, Model, Parameters, fit
from orchestration.learn.recommend.personal import summarize

PER_KIND = 40  # of repeat and of new products each, so that a reader may ask for either
CHOICE_SAMPLE = 400
LEAST_HOUSEHOLDS = 30  # with fewer, hyperparameters are not chosen but the defaults
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


@dataclass(frozen=True)
class Purchases:
    """Lines of merchandise: household, product and minute since the first day; any order.

    Baskets whose time is not known have fractional minutes.
    """

    household: Ints
    product: Ints
    minute: Floats


def lines_in_order(transactions: str) -> str:
    """The SQL of lines with the `minute` of their basket, from the SQL of `transaction_data`.

    If the time of day is not known, a household's baskets of the day follow one another by number,
    at half minutes, which no other basket has.
    """
    return f"""
    select *, day * 1440 + trans_time // 100 * 60 + trans_time % 100 as minute
    from {transactions} where household_key is not null and day is not null
        and trans_time is not null
    union all by name
    select *, day * 1440 - 0.5 + least(
        dense_rank() over (partition by household_key, day order by basket_id), 1440
    ) as minute
    from {transactions} where household_key is not null and day is not null
        and trans_time is null
    """


@dataclass(frozen=True)
class History:
    """Baskets, with the keys of households and products by position."""

    baskets: Baskets
    households: Ints
    products: Ints
    last_day: int


def as_history(purchases: Purchases) -> History:
    """Baskets by household; purchases in one minute are one basket, time is in days."""
    households, owner = np.unique(purchases.household, return_inverse=True)
    products, item = np.unique(purchases.product, return_inverse=True)
    baskets = dated_baskets(
        owner.astype(np.int64),
        purchases.minute / 1440,
        item.astype(np.int64),
        customers=households.size,
        items=products.size,
    )
    last_day = int(purchases.minute.max() // 1440) if purchases.minute.size else 0
    return History(baskets, households, products, last_day)


def choose_for(history: History, say: Callable[[str], None] = lambda _text: None) -> Parameters:
    """Hyperparameters chosen on the last baskets; the defaults if there are few households."""
    if history.households.size < LEAST_HOUSEHOLDS:
        return Parameters()
    return choose(
        history.baskets,
        sample=CHOICE_SAMPLE,
        rounds=1,
        progress=lambda detail, share: say(f"{share:.0%}, {detail}"),
    )


def recommend_all(
    history: History, parameters: Parameters, *, per_kind: int = PER_KIND
) -> pa.Table:
    """The best repeat and new products of every household as a table of `SCHEMA`, by rank."""
    if history.households.size == 0:
        return SCHEMA.empty_table()
    model = fit(history.baskets, parameters)
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in SCHEMA.names}
    for part in _columns(history, model, per_kind):
        for name, values in part.items():
            columns[name].append(values)
    purchases = np.concatenate(columns["purchases"])
    usual = np.concatenate(columns["usual_days"])
    last = np.concatenate(columns["last_days"])
    arrays = {
        name: pa.array(np.concatenate(columns[name]))
        for name in ("household_key", "rank", "product_id", "score", "purchases")
    }
    arrays["kind"] = pa.array(np.where(purchases > 0, "repeat", "new").tolist())
    arrays["reason"] = pa.array(np.concatenate(columns["reason"]).tolist(), pa.string())
    arrays["usual_days"] = pa.array(usual, mask=purchases < 2)  # noqa: PLR2004
    arrays["last_days"] = pa.array(last, mask=purchases < 1)
    return pa.table([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


def reason(purchases: int, usual_days: int, last_days: int) -> str:
    """The reason for recommending a product that was bought before."""
    ago = (
        "today" if last_days == 0 else ("1 day ago" if last_days == 1 else f"{last_days} days ago")
    )
    if purchases == 1:
        return f"bought once, {ago}"
    return f"bought {purchases} times, usually every {_days(usual_days)}, last {ago}"


def _columns(
    history: History, model: Model, per_kind: int
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    bought = summarize(history.baskets)
    ends = np.searchsorted(bought.customer, np.arange(history.households.size + 1))
    days = np.floor(bought.last)
    usual = np.maximum(np.rint(bought.interval), 1).astype(np.int64)
    for household in range(history.households.size):
        found = model.candidates(household, per_kind)
        chosen = _both_kinds(found, per_kind)
        item = found.item[chosen]
        mine = slice(ends[household], ends[household + 1])
        place = np.minimum(np.searchsorted(bought.item[mine], item), mine.stop - mine.start - 1)
        is_own = found.is_own[chosen]
        count = np.where(is_own, bought.purchases[mine][place], 0)
        every = np.where(is_own, usual[mine][place], 0)
        ago = np.where(is_own, history.last_day - days[mine][place], 0).astype(np.int64)
        words = [
            reason(int(n), int(d), int(a)) if n else (LIKE_THIS_ONE if like else POPULAR)
            for n, d, a, like in zip(count, every, ago, found.is_by_neighbours[chosen], strict=True)
        ]
        yield {
            "household_key": np.full(item.size, history.households[household]),
            "rank": np.arange(1, item.size + 1),
            "product_id": history.products[item],
            "score": found.score[chosen],
            "reason": np.array(words, dtype=object),
            "purchases": count,
            "usual_days": every,
            "last_days": ago,
        }


def _both_kinds(found: Candidates, per_kind: int) -> Ints:
    """Positions of the best own and the best new candidates, best first."""
    order = np.lexsort((found.item, -found.score))
    order = order[found.score[order] > 0]
    is_own = found.is_own[order]
    kept = np.where(is_own, np.cumsum(is_own), np.cumsum(~is_own)) <= per_kind
    chosen: Ints = order[kept]
    return chosen


def _days(many: int) -> str:
    return "day" if many == 1 else f"{many} days"
