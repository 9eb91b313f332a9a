"""What happens in a shop, step by step: purchases as events and in files, releases, erasures.

Belongs here: the steps, who and what they name, and taking them. Does not belong here: which steps
a test takes, and what is then to be answered (`live_shops`).
"""

import csv
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from orchestration.erase.landed import erase_landed
from orchestration.load import landing
from orchestration.load.run import load
from orchestration.release.errors import ReleaseError
from orchestration.release.publish import rollback
from pollux.runtime import erasures
from pollux.subjects import Subject
from tests.support.live_events import take_in
from tests.support.live_shops import Follower, Shop, Shops

# Of a world of few customers.
CUSTOMERS, ORDERS, PRODUCTS = 6, 8, 6
# Numbers of orders and baskets that no file of the sample has.
OWN = 9 * 10**10
NEWCOMER = 7000001
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """A line by the places of what it names, in lists that `World` has."""

    product: int
    quantity: int
    cents: int


@dataclass(frozen=True)
class Purchase:
    """A basket of a household, or an order of a customer."""

    customer: int
    order: int
    days_ago: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Buy:
    purchase: Purchase


@dataclass(frozen=True)
class Again:
    """An event that comes once more, as another."""

    event: int


@dataclass(frozen=True)
class File:
    purchases: tuple[Purchase, ...]


@dataclass(frozen=True)
class Release:
    pass


@dataclass(frozen=True)
class Rollback:
    pass


@dataclass(frozen=True)
class Erase:
    customer: int


@dataclass(frozen=True)
class Restart:
    pass


@dataclass(frozen=True)
class Follow:
    """The updater computes `batches` times, or until nothing is left to do.

    While it computes the first, the other step happens.
    """

    batches: int | None
    meanwhile: "Step | None"


Step = Buy | Again | File | Release | Rollback | Erase | Restart | Follow


@dataclass
class World:
    """A shop, what steps name by place, and what has happened."""

    shop: Shop
    folder: Path
    customers: list[int]
    # Of each customer; in a shop, where an order may be given to another, of all.
    orders: list[list[int]]
    products: list[int]
    last_day: int
    follower: Follower
    filed: set[int] = field(default_factory=set)
    events: list[list[dict[str, Any]]] = field(default_factory=list)

    def do(self, step: Step) -> None:
        match step:
            case Buy(bought):
                self.events.append(self._rows(bought))
                self._take_in(self.events[-1])
            case Again(event) if self.events:
                self._take_in(self.events[event % len(self.events)])
            case File(purchases):
                self._load(purchases)
            case Release():
                self.shop.build()
                self.shop.release()
            case Rollback():
                with suppress(ReleaseError):
                    rollback(self.shop.settings, self.shop.domain)
            case Erase(customer):
                self._erase(self.customers[customer])
            case Restart():
                self.follower.close()
                self.follower = Follower(self.shop)
            case Follow(batches, meanwhile):
                if meanwhile is not None:
                    self.follower.meanwhile.append(lambda: self.do(meanwhile))
                if batches is None:
                    self.follower.settle()
                    self.follower.meanwhile.clear()
                    self.shop.assert_equal()
                else:
                    for _ in range(batches):
                        self.follower.step()
                    self.follower.meanwhile.clear()

    def check(self) -> None:
        """Holds answers equal, and once more after a release of everything."""
        self.follower.settle()
        self.shop.assert_equal()
        self.do(Release())
        self.follower.settle()
        self.shop.assert_equal()
        with self.shop.store.connect() as connection:
            # Whose last events were erased with somebody else's have none, until the next release.
            live = f"select from {self.shop.domain}__live.live_customers where number > 0"
            assert connection.execute(live.encode()).fetchall() == []

    def _rows(self, bought: Purchase) -> list[dict[str, Any]]:
        customer = self.customers[bought.customer]
        order = self.orders[bought.customer][bought.order]
        if self.shop.domain == "household":
            return [
                {
                    "household_key": customer,
                    "basket_id": order,
                    "day": max(1, self.last_day - bought.days_ago),
                    "product_id": self.products[one.product],
                    "quantity": one.quantity,
                    "sales_value": Decimal(one.cents) / 100,
                }
                for one in bought.lines
            ]
        return [
            {
                "order_id": order,
                "customer_id": customer,
                "event_at": NOON - timedelta(days=bought.days_ago),
                "product_id": self.products[one.product],
                "coupon_id": one.quantity or None,
                "paid_price": Decimal(one.cents) / 100,
            }
            for one in bought.lines
        ]

    def _take_in(self, rows: list[dict[str, Any]]) -> None:
        # The event service keeps them out.
        if rows[0][self.shop.followed.key] in self.shop.erased:
            return
        event = {"event_key": uuid4()}
        with self.shop.store.connect() as connection:
            take_in(
                connection,
                self.shop.followed.table,
                [event | row | {"line": place} for place, row in enumerate(rows, start=1)],
            )

    def _load(self, purchases: tuple[Purchase, ...]) -> None:
        found = [self._rows(one) for one in purchases]
        order = self.shop.followed.order
        if order is None:
            self._load_file("transaction_data", [row for rows in found for row in rows])
            return
        orders, lines = [], []
        for rows in found:
            if rows[0][order] in self.filed:
                continue
            self.filed.add(rows[0][order])
            orders.append(
                {
                    "order_id": rows[0][order],
                    "customer_id": rows[0]["customer_id"],
                    "ordered_at": rows[0]["event_at"].replace(tzinfo=None).isoformat(sep=" "),
                }
            )
            for place, row in enumerate(rows, start=1):
                columns = ("order_id", "product_id", "coupon_id", "paid_price")
                more = {"line_number": place, "original_price": None}
                lines.append({name: row[name] for name in columns} | more)
        if orders:
            self._load_file("orders", orders)
            self._load_file("order_lines", lines)

    def _load_file(self, dataset: str, rows: list[dict[str, Any]]) -> None:
        path = self.folder / f"{dataset}_{uuid4().hex}.csv"
        names = [*rows[0]]
        if dataset == "transaction_data":
            names += ["store_id", "retail_disc", "trans_time", "week_no"]
            names += ["coupon_disc", "coupon_match_disc"]
        with path.open("w", newline="") as text:
            writer = csv.DictWriter(text, names)
            writer.writeheader()
            writer.writerows(rows)
        load(self.shop.settings, domain=self.shop.domain, from_=path, dataset=dataset)

    def _erase(self, customer: int) -> None:
        self.shop.erased.add(customer)
        settings = self.shop.settings
        with self.shop.store.connect() as connection:
            erasures.erase(connection, Subject(self.shop.followed.kind, str(customer)))
            suppressed = erasures.read_suppressed(connection)
            orders = erasures.read_orders(connection)
        with landing.locked(settings):
            erase_landed(settings, suppressed, orders, lambda _rows: None)


def known(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    folder = shop.settings.landing_dir / shop.domain
    with duckdb.connect() as engine:
        return engine.sql(query.format(folder=folder)).fetchall()


def household_world(shop: Shop, folder: Path, *, is_whole: bool) -> World:
    """Households, with and without demographics, and one that no file has; their own baskets."""
    baskets = known(
        shop,
        "select household_key, min(basket_id), max(basket_id), "
        "household_key in (select household_key from '{folder}/hh_demographic/*.parquet') "
        "from '{folder}/transaction_data/*.parquet' "
        "where household_key is not null and basket_id is not null "
        "group by 1 order by 1",
    )
    if not is_whole:
        few = [row for row in baskets if row[3]][:3]
        baskets = few + [row for row in baskets if not row[3]][: CUSTOMERS - 1 - len(few)]
    baskets.append((NEWCOMER, OWN - 1, OWN - 2, False))
    ((last_day,),) = known(shop, "select max(day) from '{folder}/transaction_data/*.parquet'")
    return World(
        shop=shop,
        folder=folder,
        customers=[row[0] for row in baskets],
        orders=[
            [*row[1:3], *(OWN + ORDERS * place + n for n in range(ORDERS - 2))]
            for place, row in enumerate(baskets)
        ],
        products=products_of(shop, "product", is_whole=is_whole),
        last_day=last_day,
        follower=Follower(shop),
    )


def store_world(shop: Shop, folder: Path, *, is_whole: bool) -> World:
    """Customers, and one that no file has; of few anybody has each order, of all their neighbours.

    The first order of each is one that a file has.
    """
    found = known(
        shop,
        "select customer_id, min(order_id) from '{folder}/orders/*.parquet' group by 1 order by 1",
    )
    if not is_whole:
        found = found[: CUSTOMERS - 1]
    customers = [*(customer for customer, _ in found), NEWCOMER]
    filed = [order for _, order in found] + [found[0][1]]
    if is_whole:
        orders = [
            [
                filed[place],
                *(
                    OWN + (ORDERS * place + n) % (ORDERS * len(customers))
                    for n in range(ORDERS + 2)
                ),
            ]
            for place in range(len(customers))
        ]
    else:
        orders = [[filed[0], *(OWN + n for n in range(ORDERS - 1))]] * CUSTOMERS
    return World(
        shop=shop,
        folder=folder,
        customers=customers,
        orders=orders,
        products=products_of(shop, "products", is_whole=is_whole),
        last_day=0,
        follower=Follower(shop),
        filed={*filed},
    )


def products_of(shop: Shop, dataset: str, *, is_whole: bool) -> list[int]:
    """Products of the files, and one that nobody knows."""
    found = known(shop, f"select product_id from '{{folder}}/{dataset}/*.parquet' order by 1")
    return [*(one for (one,) in (found if is_whole else found[: PRODUCTS - 1])), 1]


WORLDS = {"household": household_world, "store": store_world}


@contextmanager
def world_of(shops: Shops, folder: Path, *, is_whole: bool = False) -> Iterator[World]:
    """The world of a new shop, of `CUSTOMERS` of its customers or of all."""
    with shops.shop() as shop:
        world = WORLDS[shop.domain](shop, folder, is_whole=is_whole)
        try:
            yield world
        finally:
            world.follower.close()


def random_purchase(world: World, chance: random.Random) -> Purchase:
    """A purchase of anybody, today or long ago, or a few days ahead."""
    customer = chance.randrange(len(world.customers))
    days_ago = chance.choice([chance.randrange(-3, 20), chance.randrange(600)])
    order = chance.randrange(len(world.orders[customer]))
    return Purchase(customer, order, days_ago, random_lines(world, chance))


def random_lines(world: World, chance: random.Random) -> tuple[Line, ...]:
    """One line to three, of some nothing was paid for or the quantity is beyond belief."""
    return tuple(
        Line(
            chance.randrange(len(world.products)),
            chance.choice([0, 1, 2, 1200]),
            chance.randrange(5000),
        )
        for _ in range(chance.randint(1, 3))
    )
