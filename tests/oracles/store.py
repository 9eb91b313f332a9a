"""The store marts as a plain pandas port of the rules.

An oracle that shares nothing with the SQL. Whole numbers throughout: cents, and millionths of a
percent, so that it rounds halves up exactly.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

COUPON = ["coupon_id", "coupon_type", "department", "discount", "how_many_products_required"]
COUPON += ["start_date", "end_date"]
PRODUCT = ["product_id", "name", "category", "sizes", "vendor", "description", "buy_price"]
PRODUCT += ["department"]
MEANS = ["mean_buy_price", "mean_discount_received"]
COUNTS = ["total_coupons_used", "unique_products_bought", "unique_products_bought_with_coupons"]
COUNTS += ["total_items_bought"]
CUSTOMER = ["customer_id", "gender", "age"]
CUSTOMER_INFO = [*CUSTOMER, "mean_buy_price", "total_coupons_used", "mean_discount_received"]
CUSTOMER_INFO += ["unique_products_bought", "unique_products_bought_with_coupons"]
CUSTOMER_INFO += ["total_items_bought"]
COLUMNS = {
    "products": PRODUCT,
    "coupons": COUPON,
    "coupon_products": ["coupon_id", "product_id"],
    "customers": CUSTOMER,
    "orders": ["order_id", "customer_id", "ordered_at"],
    "order_lines": ["order_id", "line_number", "product_id", "coupon_id", "original_price"]
    + ["paid_price"],
    "coupon_info": [*COUPON, "product_mean_price", "products_available"],
    "customer_info": CUSTOMER_INFO,
}


ZONE = ZoneInfo("Europe/Berlin")
COUPON_OFFERS = ["event_date", "department", "entries", "focuses", "offers", "offers_used"]


def store_marts(raw: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Computes all marts of the store domain.

    `raw` holds the datasets by name, columns in lower case, money as float dollars; one that is
    missing has no rows. What was decided live are rows of `live_decisions`. Money and percent in
    the results are floats, exact to two decimals.
    """
    data = {name: raw.get(name, pd.DataFrame(columns=names)) for name, names in COLUMNS.items()}
    products = _products(data["products"])
    coupons = _coupons(data["coupons"], data["coupon_info"])
    all_links = data["coupon_products"].drop_duplicates()
    of_coupons = all_links[all_links["coupon_id"].isin(coupons["coupon_id"])]
    links = of_coupons[of_coupons["product_id"].isin(products["product_id"])]
    ordered = data["order_lines"]["order_id"].isin(data["orders"]["order_id"])
    outcomes = [
        ("order_lines", "kept", ordered.sum()),
        ("order_lines", "unknown order", (~ordered.astype(bool)).sum()),
        ("coupon_products", "kept", len(links)),
        ("coupon_products", "unknown coupon", len(all_links) - len(of_coupons)),
        ("coupon_products", "unknown product", len(of_coupons) - len(links)),
    ]
    return {
        "product_info": products,
        "coupon_info": _coupon_info(coupons, links, products, data["coupon_info"]),
        "coupon_product": links.reset_index(drop=True),
        "customer_info": _customer_info(data),
        "store_cleaning_report": pd.DataFrame(outcomes, columns=["dataset", "outcome", "lines"]),
        "coupon_offers": _coupon_offers(raw.get("live_decisions", ()), data, products, coupons),
    }


def _cents(dollars: pd.Series) -> pd.Series:
    return (dollars.astype("float64") * 100).round().astype("Int64")


def _rounded(dividend: pd.Series, divisor: pd.Series) -> pd.Series:
    """The nearest whole numbers, halves up."""
    return (2 * dividend + divisor) // (2 * divisor)


def _two_decimals(number: float) -> float | None:
    if pd.isna(number):
        return None
    return float(Decimal(repr(float(number))).quantize(Decimal("0.01"), ROUND_HALF_UP))


def _department(column: pd.Series) -> pd.Series:
    return column.where(~column.str.lower().isin(["sport", "sports"]), "Sport")


def _products(products: pd.DataFrame) -> pd.DataFrame:
    price = _cents(products["buy_price"]).astype("Float64") / 100
    department = _department(products["department"].astype("object"))
    return products.assign(buy_price=price, department=department)[PRODUCT]


def _coupons(coupons: pd.DataFrame, ready: pd.DataFrame) -> pd.DataFrame:
    other = ready.loc[~ready["coupon_id"].isin(coupons["coupon_id"]), COUPON]
    gathered = pd.concat(
        [frame for frame in (coupons[COUPON], other) if len(frame)] or [coupons[COUPON]],
        ignore_index=True,
    )
    return gathered.assign(department=_department(gathered["department"].astype("object")))


def _coupon_info(
    coupons: pd.DataFrame, links: pd.DataFrame, products: pd.DataFrame, ready: pd.DataFrame
) -> pd.DataFrame:
    priced = links.assign(
        cents=_cents(links["product_id"].map(products.set_index("product_id")["buy_price"]))
    ).groupby("coupon_id")
    found = pd.DataFrame(
        {
            "cents": priced["cents"].sum(min_count=1),
            "prices": priced["cents"].count(),
            "products": priced.size(),
        }
    )
    has_price = found["prices"] > 0
    mean = _rounded(found["cents"].where(has_price), found["prices"].where(has_price))
    computed = pd.DataFrame(
        {
            "product_mean_price": mean.astype("Float64") / 100,
            "products_available": found["products"],
        }
    )
    ready = ready[~ready["coupon_id"].isin(computed.index)].set_index("coupon_id")
    figures = pd.concat(
        [frame for frame in (computed, ready[computed.columns]) if len(frame)] or [computed]
    )
    info = coupons.merge(figures, left_on="coupon_id", right_index=True, how="left")
    available = info["products_available"].astype("Int64").fillna(0)
    return info.assign(products_available=available)


def _measured(orders: pd.DataFrame, order_lines: pd.DataFrame) -> pd.DataFrame:
    lines = order_lines.merge(orders[["order_id", "customer_id"]], on="order_id")
    original, paid = _cents(lines["original_price"]), _cents(lines["paid_price"])
    whole = original.where(original > 0)
    lines["paid"] = paid
    lines["millionths"] = _rounded((original - paid) * 100_000_000, whole)
    lines["coupon_product"] = lines["product_id"].where(lines["coupon_id"].notna())
    by_customer = lines.groupby("customer_id")
    paid_lines = by_customer["paid"].count().replace(0, pd.NA)
    percents = by_customer["millionths"].count().replace(0, pd.NA) * 10_000
    mean_paid = _rounded(by_customer["paid"].sum().astype("Int64"), paid_lines.astype("Int64"))
    discount = _rounded(by_customer["millionths"].sum().astype("Int64"), percents.astype("Int64"))
    return pd.DataFrame(
        {
            "mean_buy_price": mean_paid.astype("Float64") / 100,
            "total_coupons_used": by_customer["coupon_id"].count(),
            "mean_discount_received": discount.astype("Float64") / 100,
            "unique_products_bought": by_customer["product_id"].nunique(),
            "unique_products_bought_with_coupons": by_customer["coupon_product"].nunique(),
            "total_items_bought": by_customer.size(),
        }
    )


def _customer_info(data: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    measured = _measured(data["orders"], data["order_lines"])
    listed = data["customers"].set_index("customer_id")
    ready = data["customer_info"].set_index("customer_id")
    percent = ready["mean_discount_received"].astype("object").map(_two_decimals)
    ready = ready.assign(mean_discount_received=percent)
    everyone = listed.index.union(ready.index).union(measured.index)
    info = pd.DataFrame(index=everyone.astype("int64").rename("customer_id"))
    for name in ("gender", "age"):
        own = listed[name].reindex(info.index).astype("object")
        info[name] = own.where(own.notna(), ready[name].reindex(info.index).astype("object"))
    has_lines = info.index.isin(measured.index)
    for name in (*MEANS, *COUNTS):
        own = measured[name].reindex(info.index).astype("Float64")
        other = ready[name].reindex(info.index).astype("Float64")
        info[name] = own.where(has_lines, other)
    for name in COUNTS:
        info[name] = info[name].fillna(0).astype("int64")
    return info.reset_index()[CUSTOMER_INFO]


def _coupon_offers(
    decisions: Sequence[Mapping[str, Any]],
    data: Mapping[str, pd.DataFrame],
    products: pd.DataFrame,
    coupons: pd.DataFrame,
) -> pd.DataFrame:
    days = coupons.set_index("coupon_id")[["start_date", "end_date"]].astype(str)
    valid = {coupon: (start, end) for coupon, start, end in days.itertuples()}
    lines = data["order_lines"].merge(data["orders"], on="order_id").dropna(subset="coupon_id")
    uses: dict[tuple[int, int], list[datetime]] = {}
    for one in lines.itertuples():
        at = datetime.fromisoformat(one.ordered_at)
        start, end = valid.get(int(one.coupon_id), ("", ""))
        if start <= at.date().isoformat() <= end:
            uses.setdefault((int(one.customer_id), int(one.coupon_id)), []).append(at)
    known = {*products["department"].dropna(), *coupons["department"].dropna()}
    counted: Counter[tuple[Any, ...]] = Counter()
    dates = set()
    for row in decisions:
        day, department = row["event_date"], row["department"]
        dates.add(day)
        if row["kind"] == "entry":
            counted[day, "entry"] += 1
        elif department is not None:
            known.add(department)
            counted[day, department, "focus"] += 1
            if row["coupon_id"] is not None:
                counted[day, department, "offer"] += 1
                shop_time = row["event_at"].astimezone(ZONE).replace(tzinfo=None)
                later = uses.get((row["customer_id"], row["coupon_id"]), ())
                counted[day, department, "used"] += any(at >= shop_time for at in later)
    rows = []
    for day, department in product(dates, known):
        kinds = [counted[day, department, kind] for kind in ("focus", "offer", "used")]
        used = kinds.pop() if len(data["orders"]) else None
        rows.append((day, department, counted[day, "entry"], *kinds, used))
    return pd.DataFrame(rows, columns=COUPON_OFFERS, dtype="object")
