"""What was learned from all households, by which one household's recommendations are made anew.

Belongs here: the files of it, and a household's rows from its purchases and these. What others say
of a product, how often a product is bought again after how long, and the hyperparameters stay as
they were learned; a household's own purchases count as they do when everything is learned.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pollux.runtime.live_lines import SUFFIX
from pollux.runtime.recommend.baskets import Floats, Ints, dated_baskets
from pollux.runtime.recommend.candidates import Scored, candidates
from pollux.runtime.recommend.personal import personal_scores
from pollux.runtime.recommend.rows import PER_KIND, SCHEMA, table_of
from pollux.runtime.settings import Settings

PRODUCTS_FILE = "learned.products.parquet"
# Lines of customers, with the columns of `NEIGHBOURS`.
NEIGHBOURS_FILE = f"learned.neighbours{SUFFIX}"
NEIGHBOURS = pa.schema(
    [("household_key", pa.int64()), ("product_id", pa.int64()), ("score", pa.float32())]
)
FILES = (PRODUCTS_FILE, NEIGHBOURS_FILE)
METADATA_KEY = b"pollux"
DAY_MINUTES = 1440
PURCHASES = ("household_key", "product_id", "minute")


@dataclass(frozen=True)
class Learned:
    """What concerns all households.

    `rhythm` is the table of `personal`, of no size where nothing was ever bought; `usual_gap` is in
    days, `last_day` is the number of the data's last day. `products` are keys, ascending, of all
    that are popular or that neighbours name, and `popularity` is the score of each.
    """

    decay: float
    prior: float
    rhythm: Floats
    usual_gap: float
    last_day: int
    products: Ints
    popularity: Floats

    @cached_property
    def popular_first(self) -> Ints:
        """Positions of products, the most popular first."""
        return np.argsort(-self.popularity, kind="stable")

    def recommend(
        self, purchases: pa.Table, neighbours: pa.Table, last_day: int | None = None
    ) -> pa.Table:
        """Rows of `product_recommendations` for the households that `purchases` are of.

        `purchases` are all of these households' lines of merchandise, in any order, with
        `household_key`, `product_id` and the `minute` of their basket; `neighbours` are rows of
        `NEIGHBOURS`, by household and product. `last_day` is the last day of purchases since.
        """
        household, product, minute = (_array(purchases, name) for name in PURCHASES)
        if not self.rhythm.size or not household.size:
            return SCHEMA.empty_table()
        keys, owner = np.unique(household, return_inverse=True)
        item, unknown = self._items_of(product)
        products = np.concatenate([self.products, unknown])
        baskets = dated_baskets(
            owner,
            minute / DAY_MINUTES,
            item,
            customers=keys.size,
            items=products.size,
            usual_gap=self.usual_gap,
        )
        bought, score = personal_scores(baskets, self.rhythm, decay=self.decay, prior=self.prior)
        owner, found = candidates(
            Scored(bought.customer, bought.item, score),
            self._said(keys, neighbours),
            np.concatenate([self.popularity, np.zeros(unknown.size)]),
            self.popular_first,
            keys.size,
            PER_KIND,
        )
        day = max(self.last_day, last_day or 0)
        days = np.maximum(np.floor(baskets.last_time).astype(np.int64), day)
        return table_of(keys, owner, found, bought, products, days)

    def _items_of(self, product: Ints) -> tuple[Ints, Ints]:
        """The position of each product, and those products that are counted after all others."""
        item = np.searchsorted(self.products, product)
        is_known = item < self.products.size
        is_known[is_known] = self.products[item[is_known]] == product[is_known]
        unknown, place = np.unique(product[~is_known], return_inverse=True)
        item[~is_known] = self.products.size + place
        return item, unknown

    def _said(self, keys: Ints, neighbours: pa.Table) -> Scored:
        """What neighbours say of products to the households of these keys."""
        household, product, said = (_array(neighbours, name) for name in NEIGHBOURS.names)
        customer = np.searchsorted(keys, household)
        is_buyer = keys[np.minimum(customer, keys.size - 1)] == household
        item, unknown = self._items_of(product)
        if unknown.size:
            raise ValueError(f"{NEIGHBOURS_FILE} has products that {PRODUCTS_FILE} has not")
        return Scored(customer[is_buyer], item[is_buyer], said[is_buyer])


def learned_dir(settings: Settings) -> Path:
    """Where what was learned last is, for the next build."""
    return settings.data_dir / "builds" / "learned"


def nothing_learned() -> Learned:
    """What there is to learn where nothing was ever bought."""
    none = np.zeros(0)
    return Learned(1.0, 0.0, none, 1.0, 0, none.astype(np.int64), none)


def write_learned(folder: Path, learned: Learned) -> None:
    """Writes what concerns all households to `PRODUCTS_FILE`."""
    numbers = {
        "decay": learned.decay,
        "prior": learned.prior,
        "rhythm": learned.rhythm.tolist(),
        "usual_gap": learned.usual_gap,
        "last_day": learned.last_day,
    }
    columns = {"product_id": learned.products, "score": learned.popularity}
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(numbers)})
    pq.write_table(table, folder / PRODUCTS_FILE)


def read_learned(folder: Path) -> Learned:
    """What `write_learned` wrote; raises `OSError`, or `ValueError` for another file."""
    table = pq.ParquetFile(folder / PRODUCTS_FILE).read()
    numbers = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"null"))
    if numbers is None:
        raise ValueError(f"{PRODUCTS_FILE} does not say how products are scored")
    numbers["rhythm"] = np.array(numbers["rhythm"], np.float64)
    return Learned(
        **numbers, products=_array(table, "product_id"), popularity=_array(table, "score")
    )


def _array(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.asarray(table.column(name).to_numpy())
