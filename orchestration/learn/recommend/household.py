"""Recommendations for the households of the grocery data, each with a reason.

Belongs here: rows of `product_recommendations` from everybody's purchases, and what a household's
rows between two builds need of that. Does not belong here: reading purchases and landing rows
(`land`), and what a row says (`pollux.runtime.recommend.rows`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from orchestration.learn.recommend.choose import choose
from orchestration.learn.recommend.model import Model, Parameters, fit
from pollux.runtime.recommend.baskets import Baskets, Floats, Ints, dated_baskets
from pollux.runtime.recommend.learned import NEIGHBOURS, Learned
from pollux.runtime.recommend.rows import PER_KIND, SCHEMA, table_of

CHOICE_SAMPLE = 400
LEAST_HOUSEHOLDS = 30  # with fewer, hyperparameters are not chosen but the defaults
CHOICE_DAYS = 28
LEAST_SETTLED = 0.5  # of all purchases
MINUTES = 1440  # of a day
CHUNK = 1000  # households


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
        purchases.minute / MINUTES,
        item.astype(np.int64),
        customers=households.size,
        items=products.size,
    )
    last_day = int(purchases.minute.max() // MINUTES) if purchases.minute.size else 0
    return History(baskets, households, products, last_day)


def settled(purchases: Purchases) -> Purchases:
    """Those before the last day that is a multiple of `CHOICE_DAYS`; all, where they are too few.

    Hyperparameters are chosen on these: they stay as they are for most new days, and depend on
    nothing but the purchases.
    """
    if purchases.minute.size == 0:
        return purchases
    period = CHOICE_DAYS * MINUTES
    is_settled = purchases.minute < purchases.minute.max() // period * period
    if is_settled.mean() < LEAST_SETTLED:
        return purchases
    return Purchases(
        household=purchases.household[is_settled],
        product=purchases.product[is_settled],
        minute=purchases.minute[is_settled],
    )


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
    return recommend_by(fit(history.baskets, parameters), history, per_kind=per_kind)


def recommend_by(model: Model, history: History, *, per_kind: int = PER_KIND) -> pa.Table:
    """The same by a model that was fitted on the history."""
    many = history.households.size
    tables = []
    for begin in range(0, many, CHUNK):
        end = min(begin + CHUNK, many)
        tables.append(
            table_of(
                history.households[begin:end],
                *model.candidates(begin, end, per_kind),
                model.bought.of(begin, end),
                history.products,
                history.last_day,
                per_kind,
            )
        )
    return pa.concat_tables(tables)


def learned_of(model: Model, history: History) -> Learned:
    """What a household's rows need of everybody, from a model that was fitted on the history."""
    is_scored = model.popularity > 0
    is_scored[model.others.indices] = True
    return Learned(
        decay=model.parameters.decay,
        prior=model.parameters.prior,
        rhythm=model.rhythm,
        usual_gap=history.baskets.gap_of_one,
        last_day=history.last_day,
        products=history.products[is_scored],
        popularity=model.popularity[is_scored],
    )


def neighbours_of(model: Model, history: History) -> pa.Table:
    """What neighbours say of products, a row per household and product, by household."""
    said = model.others.sorted_indices()
    households = np.repeat(history.households, np.diff(said.indptr))
    return pa.table([households, history.products[said.indices], said.data], schema=NEIGHBOURS)
