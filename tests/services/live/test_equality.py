"""Live rows over a release are what a build of everything gives: after anything, in any order."""

import asyncio
import csv
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from orchestration.load.run import load
from orchestration.release.errors import ReleaseError
from orchestration.release.publish import rollback
from pollux.runtime import erasures
from pollux.runtime.live_models import LiveModels
from pollux.runtime.serving import open_serving_store
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from services.live import updater
from services.live.metrics import LiveMetrics
from services.live.updater import Updater
from tests.support.installations import Prepared
from tests.support.kill_loops import KillLoop
from tests.support.kills import seconds_of, start
from tests.support.live_events import take_in
from tests.support.live_shops import Follower, Shop, Shops

pytestmark = pytest.mark.integration

CUSTOMERS, ORDERS, PRODUCTS = 6, 8, 6
EXAMPLES = 6
# Numbers of orders and baskets that no file of the sample has.
OWN = 9 * 10**10
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

line = st.builds(
    Line,
    st.integers(0, PRODUCTS - 1),
    st.sampled_from([0, 1, 2, 1200]),
    st.integers(0, 5000),
)
purchase = st.builds(
    Purchase,
    st.integers(0, CUSTOMERS - 1),
    st.integers(0, ORDERS - 1),
    st.one_of(st.integers(-6, 20), st.integers(0, 600)),
    st.lists(line, min_size=1, max_size=3).map(tuple),
)
buy = st.builds(Buy, purchase)
file = st.builds(File, st.lists(purchase, min_size=1, max_size=3).map(tuple))
others = st.one_of(
    buy,
    file,
    st.builds(Release),
    st.builds(Rollback),
    st.builds(Erase, st.integers(0, CUSTOMERS - 1)),
)
follow = st.builds(Follow, st.sampled_from([None, None, 1, 2]), st.none() | others)
steps = st.lists(
    st.one_of(
        buy, buy, buy, st.builds(Again, st.integers(0, 9)), others, st.builds(Restart), follow
    ),
    min_size=8,
    max_size=24,
)


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
            live = f"select from {self.shop.domain}__live.live_customers"
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
        # Others would take the place of the sample's.
        load(self.shop.settings, domain=self.shop.domain, from_=path, dataset=dataset, sample=True)

    def _erase(self, customer: int) -> None:
        if self._shares_orders(customer):
            return
        self.shop.erased.add(customer)
        with self.shop.store.connect() as connection:
            erasures.erase(connection, Subject(self.shop.followed.kind, str(customer)))

    def _shares_orders(self, customer: int) -> bool:
        """Whether an order that a later event gave to them would be the other's again."""
        key, order = self.shop.followed.key, self.shop.followed.order
        if order is None:
            return False
        table = self.shop.table
        theirs = f"select {order} from {table} where {key} = {customer}"
        others = f"select from {table} where {order} in ({theirs}) and {key} <> {customer}"
        with self.shop.store.connect() as connection:
            return connection.execute(others.encode()).fetchone() is not None


def known(shop: Shop, query: str) -> list[tuple[Any, ...]]:
    folder = shop.settings.landing_dir / shop.domain
    with duckdb.connect() as engine:
        return engine.sql(query.format(folder=folder)).fetchall()


def household_world(shop: Shop, folder: Path) -> World:
    """Five households, three with demographics, and one that no file has; their own baskets."""
    baskets = known(
        shop,
        "select household_key, min(basket_id), max(basket_id), "
        "household_key in (select household_key from '{folder}/hh_demographic/*.parquet') "
        "from '{folder}/transaction_data/*.parquet' "
        "where household_key is not null and basket_id is not null "
        "group by 1 order by 1",
    )
    chosen = [row for row in baskets if row[3]][:3] + [row for row in baskets if not row[3]][:2]
    chosen.append((7000001, OWN + 99, OWN + 98, False))
    ((last_day,),) = known(shop, "select max(day) from '{folder}/transaction_data/*.parquet'")
    products = known(shop, "select product_id from '{folder}/product/*.parquet' order by 1 limit 5")
    return World(
        shop=shop,
        folder=folder,
        customers=[row[0] for row in chosen],
        orders=[
            [*row[1:3], *(OWN + 10 * place + n for n in range(ORDERS - 2))]
            for place, row in enumerate(chosen)
        ],
        # The last is one that nobody knows.
        products=[*(one for (one,) in products), 1],
        last_day=last_day,
        follower=Follower(shop),
    )


def store_world(shop: Shop, folder: Path) -> World:
    """Five customers and one that no file has; orders of anybody."""
    customers = known(
        shop, "select distinct customer_id from '{folder}/orders/*.parquet' order by 1 limit 5"
    )
    filed = known(shop, "select order_id from '{folder}/orders/*.parquet' order by 1 limit 1")
    products = known(
        shop, "select product_id from '{folder}/products/*.parquet' order by 1 limit 5"
    )
    orders = [filed[0][0], *(OWN + n for n in range(ORDERS - 1))]
    return World(
        shop=shop,
        folder=folder,
        customers=[*(one for (one,) in customers), 7000001],
        orders=[orders] * CUSTOMERS,
        products=[*(one for (one,) in products), 1],
        last_day=0,
        follower=Follower(shop),
        filed={filed[0][0]},
    )


MakeWorld = Callable[[Shop, Path], World]


WORLDS: dict[str, MakeWorld] = {"household": household_world, "store": store_world}


@pytest.fixture(
    scope="module", params=[pytest.param("household", marks=pytest.mark.endurance), "store"]
)
def shops(prepared: Prepared, short_tmp: Path, request: pytest.FixtureRequest) -> Iterator[Shops]:
    source, folder = prepared.everything(), short_tmp / request.param
    found = Shops(source, source.warehouse_path, request.param, prepared.compiled(), folder)
    yield found
    found.close()


@contextmanager
def world_of(shops: Shops, folder: Path) -> Iterator[World]:
    with shops.shop() as shop:
        world = WORLDS[shop.domain](shop, folder)
        try:
            yield world
        finally:
            world.follower.close()


def bought(customer: int, order: int, days_ago: int, *products: int) -> Purchase:
    lines = tuple(Line(product, 1, 100 + product) for product in products)
    return Purchase(customer, order, days_ago, lines)


# Whatever can happen, once; the newcomer is customer 5, and order 0 is that of a file.
EVERYTHING: list[Step] = [
    Buy(bought(0, 2, 3, 0, 1)),
    Buy(bought(0, 0, 10, 1)),
    Buy(bought(1, 2, 400, 3, 4)),
    # Corrected, while what it corrects is computed.
    Follow(1, Buy(bought(0, 2, 4, 5))),
    Follow(None, None),
    # For everybody with live rows it is a later day.
    Buy(bought(5, 3, -2, 2)),
    Follow(None, None),
    File((bought(2, 1, 5, 0), bought(0, 2, 6, 3))),
    Buy(bought(3, 3, 0, 1, 2, 3)),
    Release(),
    Buy(bought(1, 6, 2, 2)),
    Buy(bought(4, 4, 7, 4)),
    Again(3),
    Follow(None, Release()),
    Buy(bought(2, 5, -4, 0)),
    Buy(bought(4, 4, 8, 2)),
    Follow(None, Erase(2)),
    Buy(bought(0, 7, 1, 1)),
    # What the later release held is live again.
    Follow(None, Rollback()),
    Restart(),
    Follow(None, None),
]


def test_after_everything_answers_are_those_of_a_build_of_everything(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(EVERYTHING, shops, tmp_path, monkeypatch)


@pytest.mark.endurance
@hypothesis_settings(
    max_examples=EXAMPLES,
    # Making an example smaller would take minutes.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(done=steps)
def test_after_anything_in_any_order_answers_are_those_of_a_build_of_everything(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: list[Step]
) -> None:
    after(done, shops, tmp_path, monkeypatch)


def after(done: list[Step], shops: Shops, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that a few purchases are several batches.
    monkeypatch.setattr(updater, "MOST_ROWS", 7)
    monkeypatch.setattr(updater, "MOST_CUSTOMERS", 3)
    with world_of(shops, folder) as world:
        for step in done:
            world.do(step)
        world.check()


def build_and_release(settings: Settings, domain: str, compiled: Path, kept: Path) -> None:
    shop = Shop(settings, domain, json.loads(compiled.read_bytes()), kept)
    shop.build()
    shop.release()


def follow(settings: Settings) -> None:
    store = open_serving_store(settings)
    metrics = LiveMetrics(CollectorRegistry())
    asyncio.run(Updater(settings, store, metrics, LiveModels).run())


@pytest.mark.endurance
def test_updater_postgres_and_build_killed_at_random_moments(
    shops: Shops, prepared: Prepared, tmp_path: Path, kill_loop: Callable[[str], KillLoop]
) -> None:
    loop = kill_loop("live rows")
    compiled = tmp_path / "manifest.json"
    compiled.write_text(json.dumps(prepared.compiled()))
    with world_of(shops, tmp_path) as world:
        shop = world.shop
        building = (build_and_release, shop.settings, shop.domain, compiled, shop.kept)
        seconds = seconds_of(*building)
        for turn in loop.tries():
            following = start("", follow, shop.settings)
            victim = loop.rng.choice(["updater", "updater", "PostgreSQL", "build"])
            build = start("", *building) if victim == "build" else None
            end = time.monotonic() + loop.rng.uniform(0.2, max(2.5, seconds if build else 0))
            while time.monotonic() < end:
                world.do(random_purchase(loop.rng))
                time.sleep(0.02)
            if build is not None:
                loop.kill(build)
            elif victim == "PostgreSQL":
                shops.server.kill()
                loop.count_kill()
                shops.server.use()
                time.sleep(loop.rng.uniform(0, 1.5))
            is_killed = loop.kill(following) if victim == "updater" else following.kill()
            following.join()
            assert is_killed is not False
            if turn % 4 == 0:
                world.follower.settle()
                shop.assert_equal()
        world.follower.settle()
        assert world.shop.served() != {}
        shop.assert_equal(by_dbt=True)
        world.check()


def random_purchase(chance: random.Random) -> Buy:
    lines = [
        Line(chance.randrange(PRODUCTS), chance.choice([0, 1, 2, 1200]), chance.randrange(5000))
        for _ in range(chance.randint(1, 3))
    ]
    days_ago = chance.choice([chance.randrange(-3, 20), chance.randrange(600)])
    return Buy(
        Purchase(chance.randrange(CUSTOMERS), chance.randrange(ORDERS), days_ago, tuple(lines))
    )
