"""Recommendations for the households of the grocery data, with a reason each.

Belongs here: from lines and products to rows of `product_recommendations`, and the words of a
reason. Does not belong here: where lines are read and rows land, which is `land`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from orchestration.learn.recommend.baskets import Baskets, Floats, Ints, dated_baskets
from orchestration.learn.recommend.choose import choose
from orchestration.learn.recommend.model import Model, Parameters, best, fit
from orchestration.learn.recommend.personal import summarize

PER_KIND = 40  # repeat and new products each, so that a reader may ask for either
CHOICE_SAMPLE = 400
LEAST_HOUSEHOLDS = 30  # fewer say little about hyperparameters
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
    """Lines of merchandise: household, product and minute since the first day; any order."""

    household: Ints
    product: Ints
    minute: Ints


@dataclass(frozen=True)
class History:
    """Baskets with the keys that their positions stand for."""

    baskets: Baskets
    households: Ints
    products: Ints
    last_day: int


def as_history(purchases: Purchases) -> History:
    """Baskets by household; what was bought at one minute is one basket, time is in days."""
    households, owner = np.unique(purchases.household, return_inverse=True)
    products, item = np.unique(purchases.product, return_inverse=True)
    baskets = dated_baskets(
        owner.astype(np.int64),
        purchases.minute / 1440,
        item.astype(np.int64),
        customers=households.size,
        items=products.size,
    )
    last_day = int(purchases.minute.max()) // 1440 if purchases.minute.size else 0
    return History(baskets, households, products, last_day)


def choose_for(history: History, say: Callable[[str], None] = lambda _text: None) -> Parameters:
    """Hyperparameters chosen on the last baskets; the defaults where households are few."""
    if history.households.size < LEAST_HOUSEHOLDS:
        return Parameters()
    return choose(history.baskets, sample=CHOICE_SAMPLE, rounds=1, progress=say)[0]


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
    """Why a product that was bought before is recommended, in words."""
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
    for chunk, scores in model.score_chunks(np.arange(history.households.size)):
        for household, row in zip(chunk, scores, strict=True):
            mine = slice(ends[household], ends[household + 1])
            own = bought.item[mine]
            count = np.zeros(row.size, dtype=np.int64)
            count[own] = bought.purchases[mine]
            item = _both_kinds(row, own, per_kind)
            known = count[item] > 0
            place = np.minimum(np.searchsorted(own, item), max(own.size - 1, 0))
            every = np.where(known, usual[mine][place], 0)
            ago = np.where(known, history.last_day - days[mine][place], 0).astype(np.int64)
            said = np.zeros(row.size)
            others = model.others[[household]]
            said[others.indices] = others.data
            like_this = said[item] > model.popularity[item]
            words = [
                reason(int(n), int(d), int(a)) if n else (LIKE_THIS_ONE if like else POPULAR)
                for n, d, a, like in zip(count[item], every, ago, like_this, strict=True)
            ]
            yield {
                "household_key": np.full(item.size, history.households[household]),
                "rank": np.arange(1, item.size + 1),
                "product_id": history.products[item],
                "score": row[item],
                "reason": np.array(words, dtype=object),
                "purchases": count[item],
                "usual_days": every,
                "last_days": ago,
            }


def _both_kinds(scores: Floats, own: Ints, per_kind: int) -> Ints:
    """The best of what was bought and of what was not, best first; only what scores at all."""
    others = scores.copy()
    others[own] = 0
    repeat = own[best(scores[None, own], per_kind)[0]]
    new = best(others[None, :], per_kind)[0]
    found = np.concatenate([repeat, new[others[new] > 0]])
    return found[np.lexsort((found, -scores[found]))]


def _days(many: int) -> str:
    return "day" if many == 1 else f"{many} days"
