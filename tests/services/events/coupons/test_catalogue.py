"""The catalogue of a release: documents stay in memory if they are small enough."""

import asyncio
from datetime import date
from typing import TYPE_CHECKING, cast

from services.common.releases import Release
from services.events.coupons.catalogue import KEPT_AT_LEAST, Catalogue

if TYPE_CHECKING:
    from services.common.database import Database


class CouponStore:
    """A database with coupons of a given size, which counts what it is asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[list[int]] = []

    async def fetch(self, _sql: str, coupons: list[int]) -> list[dict[str, object]]:
        self.asked.append(coupons)
        day = date(2025, 1, 1)
        return [
            {
                "coupon_id": coupon, "coupon_type": "department", "department": "Boys",
                "discount": 5, "how_many_products_required": None, "start_date": day,
                "end_date": day, "products_available": 1, "products": '["' + "x" * self.size + '"]',
            }
            for coupon in coupons
        ]  # fmt: skip


def test_documents_in_memory_are_limited_by_their_size() -> None:
    store = CouponStore(2**20)
    release = Release("store", 1, None, "test")
    catalogue = Catalogue(cast("Database", store), release)

    async def read() -> None:
        for coupon in range(200):
            await catalogue.read_documents([coupon])
            assert catalogue.document(coupon) is not None
        await catalogue.read_documents([199])

    asyncio.run(read())
    assert len(store.asked) == 200
    kept = [coupon for coupon in range(200) if catalogue.document(coupon) is not None]
    assert kept == list(range(200 - KEPT_AT_LEAST, 200))


def test_small_documents_all_stay_in_memory() -> None:
    store = CouponStore(500)
    catalogue = Catalogue(cast("Database", store), Release("store", 1, None, "test"))
    asyncio.run(catalogue.read_documents(range(5_000)))
    assert all(catalogue.document(coupon) is not None for coupon in range(5_000))
