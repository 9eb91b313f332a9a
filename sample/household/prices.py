"""Lines of transaction_data: quantities, prices, discounts, and the odd ones among them.

Belongs here: quantity and money of every line, and lines that no basket proposes: gasoline, and
products without names. Does not belong here: what is put into baskets (`baskets`, `redemptions`),
usual prices (`catalogue`), and when they are lowered (`support`).
"""

from dataclasses import dataclass, fields

import numpy as np

from sample.household.baskets import Purchases
from sample.household.catalogue import PRODUCTS
from sample.household.chance import Floats, Ints, Purpose, generator
from sample.household.redemptions import Responses
from sample.household.retailer import Retailer
from sample.household.traits import Traits
from sample.household.trips import Trips

_SEVERAL = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 20, 24)
_SEVERAL_SHARES = (
    (0.737, 0.1255, 0.08, 0.021, 0.017, 0.0023, 0.0062, 0.0013, 0.0035)
    + (0.0008, 0.0017, 0.0008, 0.0008, 0.0008, 0.0013)
)  # fmt: skip
_CHEAP, _MIDDLING = 150, 300  # cents: cheaper goods are bought several at a time

_NOTHING = 0.0028  # lines of quantity 0 without money
_FREE = 0.0024  # lines discounted to nothing
_POSITIVE_DISCOUNT = 1e-4
_COUPON_LINES = 0.0165  # lines with a coupon that no campaign sent
_MATCHED = 0.66
_DOUBLED = 100  # coupons below are doubled, up to this in all
_FIXED = 60  # cents: cheaper goods cost the same everywhere
_COUPON_CENTS = (25, 30, 35, 40, 50, 55, 60, 75, 100, 125, 150, 200)
_COUPON_SHARES = (0.05, 0.06, 0.07, 0.12, 0.2, 0.12, 0.05, 0.1, 0.15, 0.03, 0.03, 0.02)
_BLANK_LINES = 0.026  # per trip, lines of products without names

_GALLON_FROM, _GALLON_PER_WEEK = 160, 0.6  # cents
_GALLONS_CHEAPER = 0.25
_LEAST_GALLONS, _MOST_GALLONS = 1.0, 45.475


@dataclass(frozen=True)
class Lines:
    """Columns of transaction_data, money in cents."""

    household_key: Ints
    basket_id: Ints
    day: Ints
    product: Ints  # position in the catalogue
    quantity: Ints
    sales: Ints
    store_id: Ints
    retail_disc: Ints
    trans_time: Ints
    week: Ints
    coupon_disc: Ints
    coupon_match_disc: Ints

    def take(self, rows: Ints) -> "Lines":
        """The given rows, in the order given."""
        return Lines(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @staticmethod
    def join(parts: "list[Lines]") -> "Lines":
        """The rows of all parts, one after the other."""
        return Lines(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(Lines)
            }
        )


def make_lines(
    retailer: Retailer, traits: Traits, trips: Trips, purchases: Purchases, responses: Responses
) -> Lines:
    """The lines of a batch by basket and product; each product is in a basket once."""
    rng = generator(retailer.seed, Purpose.PRICES, traits.part)
    stands = _Stands(retailer, traits, trips)
    trip = np.concatenate([responses.trip, purchases.trip])
    product = np.concatenate([responses.product, purchases.product])
    redeemed = np.concatenate([responses.cents, np.zeros(purchases.trip.size, np.int64)])
    _, kept = np.unique(trip * PRODUCTS + product, return_index=True)
    trip, product, redeemed = trip[kept], product[kept], redeemed[kept]

    many = trip.size
    price = _shelf_price(rng, stands, trip, product)
    quantity = _quantity(rng, stands, trip, product, price)
    full = quantity * price
    off = retailer.support.discount[product, trips.week[trip]].astype(np.int64)
    sales = (full * (100 - off) + 50) // 100
    discount = sales - full

    chance = rng.random(many)
    usual = redeemed == 0
    free = usual & (chance < _FREE)
    nothing = usual & ~free & (chance < _FREE + _NOTHING)
    added = usual & ~free & ~nothing & (chance > 1 - _POSITIVE_DISCOUNT)
    quantity = np.where(free, 1, np.where(nothing | added, 0, quantity))
    discount = np.where(free, -price, np.where(nothing, 0, np.where(added, sales, discount)))
    sales = np.where(free | nothing, 0, sales)

    other = rng.choice(np.array(_COUPON_CENTS), many, p=_COUPON_SHARES)
    with_coupon = (rng.random(many) < _COUPON_LINES) & usual & (sales >= other)
    coupon = np.where(with_coupon, other, np.minimum(redeemed, np.maximum(sales, 25)))
    matched = (coupon > 0) & (coupon < _DOUBLED) & (rng.random(many) < _MATCHED)
    match = np.where(matched, np.minimum(coupon, _DOUBLED - coupon), 0)

    ordinary = stands.lines(
        trip, product, quantity, sales, retail_disc=discount, coupon=coupon, match=match
    )
    joined = Lines.join([ordinary, _gasoline(rng, stands), _blank(rng, stands)])
    return joined.take(np.lexsort((joined.product, joined.basket_id)))


@dataclass(frozen=True)
class _Stands:
    """The tables in which a line is looked up."""

    retailer: Retailer
    traits: Traits
    trips: Trips

    def lines(
        self,
        trip: Ints,
        product: Ints,
        quantity: Ints,
        sales: Ints,
        *,
        retail_disc: Ints | None = None,
        coupon: Ints | None = None,
        match: Ints | None = None,
    ) -> Lines:
        """Lines of trips, in cents: discounts negative, coupons positive, none where not given."""
        none = np.zeros(trip.size, np.int64)
        minute = self.trips.minute[trip]
        return Lines(
            household_key=self.traits.key[self.trips.household[trip]],
            basket_id=self.trips.basket_id[trip],
            day=self.trips.day[trip],
            product=product,
            quantity=quantity,
            sales=sales,
            store_id=self.retailer.stores.store_id[self.trips.store[trip]],
            retail_disc=none if retail_disc is None else retail_disc,
            trans_time=minute // 60 * 100 + minute % 60,
            week=self.trips.week[trip],
            coupon_disc=none if coupon is None else -coupon,
            coupon_match_disc=none if match is None else -match,
        )


def _shelf_price(rng: np.random.Generator, stands: _Stands, trip: Ints, product: Ints) -> Ints:
    """Cents for one item before discounts: a little more every quarter and in dear zones."""
    catalogue, trips = stands.retailer.catalogue, stands.trips
    base = catalogue.price[product]
    # In whole thousandths, so that cents are the same on any machine.
    zone = stands.retailer.stores.zone[trips.store[trip]]
    factor = 960 + 20 * zone + 5 * (trips.week[trip] // 13)
    price = np.where(base < _FIXED, base, (base * factor + 5000) // 10_000 * 10 - 1)
    weights: Floats = np.clip(rng.lognormal(-0.05, 0.32, product.size), 0.25, 4.0)
    weighed = np.round(price * weights).astype(np.int64)
    return np.maximum(np.where(catalogue.is_weighed[product], weighed, price), 5)


def _quantity(
    rng: np.random.Generator, stands: _Stands, trip: Ints, product: Ints, price: Ints
) -> Ints:
    supported = stands.retailer.support.is_supported(
        product, stands.trips.store[trip], stands.trips.week[trip]
    )
    several = np.where(price < _CHEAP, 0.29, np.where(price < _MIDDLING, 0.2, 0.1))
    several = several * np.where(supported, 1.35, 0.95)
    shares = np.array(_SEVERAL_SHARES)
    many = rng.choice(np.array(_SEVERAL), product.size, p=shares / shares.sum())
    return np.where(rng.random(product.size) < several, many, 1)


def _gasoline(rng: np.random.Generator, stands: _Stands) -> Lines:
    """A line for every trip to the pumps; quantities are thousandths of a gallon."""
    trips, pumps = stands.trips, stands.retailer.catalogue.gasoline
    trip = np.flatnonzero(trips.is_for_gasoline)
    wanted = rng.gamma(3.6, 3.1, trip.size)
    quantity = np.round(np.clip(wanted, _LEAST_GALLONS, _MOST_GALLONS) * 1000).astype(np.int64)
    gallon = _GALLON_FROM + np.round(trips.week[trip] * _GALLON_PER_WEEK).astype(np.int64)
    gallon = gallon + rng.integers(-8, 9, trip.size)
    full = (quantity * gallon + 500) // 1000
    saves = rng.random(trip.size) < _GALLONS_CHEAPER
    saved = np.where(saves, (quantity * 3 + 500) // 1000, 0)
    product = pumps[(trips.store[trip] * 5) % pumps.size]
    return stands.lines(trip, product, quantity, full - saved, retail_disc=-saved)


def _blank(rng: np.random.Generator, stands: _Stands) -> Lines:
    """Lines of products without names: quantity 0, no money."""
    trips, blank = stands.trips, stands.retailer.catalogue.blank
    trip = np.flatnonzero((rng.random(trips.day.size) < _BLANK_LINES) & ~trips.is_for_gasoline)
    which = np.floor(rng.random(trip.size) ** 4 * blank.size).astype(np.int64)
    none = np.zeros(trip.size, np.int64)
    return stands.lines(trip, blank[which], none, none)
