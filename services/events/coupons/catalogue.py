"""Coupons and customers of a release of the store, as decisions need them.

Belongs here: reading them, and the coupon as shops get it. Does not belong here: choosing one.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from pollux import rules
from pollux.runtime.live import schema_of
from services.common.database import Database
from services.common.releases import Release
from services.events.database.event_keys import content_key
from services.events.database.outbox import SharedDocument

DAYS_KEPT = 64
# As many as one customer's offers may need at once.
KEPT_AT_LEAST = 64
# A department's coupon takes some 165 kB.
DOCUMENT_BYTES_KEPT = 64 * 2**20

DEPARTMENTS = """
select department from {schema}.coupon_info
union
select department from {schema}.product_info where department is not null
"""

CUSTOMER = """
select
    customer_id, gender, age, mean_buy_price, total_coupons_used, mean_discount_received,
    unique_products_bought, unique_products_bought_with_coupons, total_items_bought
from {schema}.customer_info
where customer_id = $1
"""
# One statement: the figures are live ones or the release's, and never of two moments.
LIVE_CUSTOMER = f"""
select current.number as current, customers.revision, found.*
from release.current
left join live.followed
    on current.domain = followed.domain and current.number = followed.release
left join {{live}}.live_customers as customers
    on followed.domain is not null and customers.customer_id = $1
left join lateral (
    select * from ({CUSTOMER.format(schema="{live}")}) as newer
    where customers.revision is not null
    union all
    select * from ({CUSTOMER.format(schema="{schema}")}) as released
    where customers.revision is null
) as found on true
where current.domain = $2
"""

VALID = """
select
    coupon_id, coupon_type, department, discount, how_many_products_required,
    product_mean_price, products_available
from {schema}.coupon_info
where $1::text::date between start_date and end_date
order by coupon_id
"""

DOCUMENTS = """
select
    coupon_info.coupon_id, coupon_type, coupon_info.department, discount,
    how_many_products_required, start_date, end_date, products_available,
    coalesce(
        (
            select
                json_agg(
                    json_build_object(
                        'id', cast(product_info.product_id as text),
                        'name', product_info.name,
                        'category', product_info.category,
                        'sizes', product_info.sizes,
                        'vendor', product_info.vendor,
                        'description', product_info.description,
                        'buy_price', product_info.buy_price,
                        'department', product_info.department
                    )
                    order by product_info.product_id
                )
            from {schema}.coupon_product
            inner join {schema}.product_info using (product_id)
            where coupon_product.coupon_id = coupon_info.coupon_id
        ),
        '[]'
    ) as products
from {schema}.coupon_info
where coupon_info.coupon_id = any($1)
"""

# Of the API.
PRODUCTS_PATH = "/v1/coupons/{}/products"

# How many items to buy, for the types that fix it.
HOW_MANY = {"department": -1, "just_discount": 1}


class CouponDocument(NamedTuple):
    """A coupon as shops get it: with all of its products, or with a link to them."""

    whole: SharedDocument
    compact: SharedDocument


class ReplacedError(Exception):
    """Another release, which is not known here yet, has the events of a customer's live rows."""


class CustomerFigures(NamedTuple):
    """The scorer's document of a customer, or None, and by which change of live rows; 0: none."""

    document: dict[str, Any] | None
    revision: int = 0


class Catalogue:
    """One release of the store; what was read stays in memory while the release is current."""

    def __init__(self, database: Database, release: Release) -> None:
        self.release = release
        self._database = database
        self._departments: Mapping[str, str] | None = None
        self._days: OrderedDict[date, Mapping[str, Sequence[dict[str, Any]]]] = OrderedDict()
        self._documents: OrderedDict[int, CouponDocument] = OrderedDict()
        self._document_bytes = 0

    async def departments(self) -> Mapping[str, str]:
        """The departments as the data spell them, by what their spellings have in common."""
        if self._departments is None:
            rows = await self._database.fetch(DEPARTMENTS.format(schema=self.release.schema))
            self._departments = {rules.text_key(name): str(name) for (name,) in rows}
        return self._departments

    def spelled(self, department: str) -> str | None:
        """A department as the data spell it, or None if it is not known (or not read yet)."""
        return (self._departments or {}).get(rules.text_key(rules.department(department)))

    async def customer(self, customer_id: int, *, is_live: bool) -> CustomerFigures:
        """What is known of a customer: by live rows, where there may be any, else by the release.

        Raises `ReplacedError`.
        """
        schema = self.release.schema
        if not is_live:
            rows = await self._database.fetch(CUSTOMER.format(schema=schema), customer_id)
            return CustomerFigures(_plain(rows[0]) if rows else None)
        domain = self.release.domain
        sql = LIVE_CUSTOMER.format(schema=schema, live=schema_of(domain))
        rows = await self._database.fetch(sql, customer_id, domain)
        if not rows or (rows[0]["revision"] is None and rows[0]["current"] != self.release.number):
            raise ReplacedError
        document = _plain(rows[0])
        revision = document.pop("revision") or 0
        del document["current"]
        return CustomerFigures(None if document["customer_id"] is None else document, int(revision))

    async def valid_coupons(self, day: date) -> Mapping[str, Sequence[dict[str, Any]]]:
        """The scorer's documents of the coupons that are valid on a day, by department."""
        found = self._days.get(day)
        if found is None:
            by_department: dict[str, list[dict[str, Any]]] = {}
            for row in await self._database.fetch(VALID.format(schema=self.release.schema), day):
                by_department.setdefault(row["department"], []).append(_plain(row))
            found = self._days[day] = by_department
            while len(self._days) > DAYS_KEPT:
                self._days.popitem(last=False)
        return found

    async def read_documents(self, coupons: Iterable[int]) -> None:
        """Makes sure that the documents of these coupons are in memory."""
        missing = [coupon for coupon in set(coupons) if coupon not in self._documents]
        if missing:
            sql = DOCUMENTS.format(schema=self.release.schema)
            for row in await self._database.fetch(sql, missing):
                self._keep(row["coupon_id"], _document(row))

    def document(self, coupon_id: int) -> CouponDocument | None:
        """A coupon's document, or None if it is not in memory."""
        return self._documents.get(coupon_id)

    def _keep(self, coupon_id: int, document: CouponDocument) -> None:
        if coupon_id in self._documents:
            # Two events read it at the same time.
            return
        self._documents[coupon_id] = document
        self._document_bytes += len(document.whole.body)
        while self._document_bytes > DOCUMENT_BYTES_KEPT and len(self._documents) > KEPT_AT_LEAST:
            _, dropped = self._documents.popitem(last=False)
            self._document_bytes -= len(dropped.whole.body)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()
    }


def _document(row: Mapping[str, Any]) -> CouponDocument:
    coupon_id = row["coupon_id"]
    how_many = HOW_MANY.get(row["coupon_type"], row["how_many_products_required"])
    terms = {
        "id": str(coupon_id),
        "type": row["coupon_type"],
        "department": row["department"],
        "discount": float(row["discount"]),
        "how_many": how_many,
        "start_date": row["start_date"].isoformat(),
        "end_date": row["end_date"].isoformat(),
    }
    link = {
        "products_available": row["products_available"],
        "products_link": PRODUCTS_PATH.format(coupon_id),
    }
    return CouponDocument(
        _shared(terms | {"products": orjson.Fragment(row["products"])}), _shared(terms | link)
    )


def _shared(document: Mapping[str, Any]) -> SharedDocument:
    body = orjson.dumps(document)
    return SharedDocument(content_key(body), body)
