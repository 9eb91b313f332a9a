"""Documents about coupons, products and the shop's customers, and the parameters of their lists.

Documents are made from the marts' contracts. PostgreSQL serialises the answers; a test checks that
they match.
"""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from services.api.documents import PageQuery, document_of, page_of
from services.common.values import Amount, CalendarDay, Count, Department, Id, Text

CouponId = Annotated[Id, Path(description="Coupon.", examples=[2])]
ProductId = Annotated[Id, Path(description="Product.", examples=[7])]
StoreCustomerId = Annotated[Id, Path(description="Customer of the shop.", examples=[1])]
CouponSort = Literal[
    "coupon_id", "-coupon_id", "discount", "-discount", "start_date", "-start_date", "end_date",
    "-end_date", "product_mean_price", "-product_mean_price",
]  # fmt: skip
CouponOfferSort = Literal["event_date", "-event_date"]
ProductSort = Literal["product_id", "-product_id", "buy_price", "-buy_price"]
StoreCustomerSort = Literal[
    "customer_id", "-customer_id", "total_items_bought", "-total_items_bought",
    "total_coupons_used", "-total_coupons_used", "mean_discount_received",
    "-mean_discount_received",
]  # fmt: skip


CouponInfo = document_of("store", "coupon_info")
CustomerInfo = document_of("store", "customer_info")
ProductInfo = document_of("store", "product_info")
CouponOffers = document_of("store", "coupon_offers")
CouponInfoPage = page_of(CouponInfo, "A page of coupons.")
CouponOffersPage = page_of(CouponOffers, "A page of days and departments.")
ProductInfoPage = page_of(ProductInfo, "A page of products.")
CustomerInfoPage = page_of(CustomerInfo, "A page of customers of the shop.")


class DepartmentQuery(PageQuery):
    """Which department."""

    department: Department | None = Field(
        default=None, description="Only this department; Sports means Sport."
    )


class CouponsQuery(DepartmentQuery):
    """Which coupons, in which order."""

    valid_on: CalendarDay | None = Field(
        default=None, description="Only coupons that are valid on this day."
    )
    coupon_type: Literal["buy_more", "buy_all", "just_discount", "department"] | None = Field(
        default=None, description="Only this type."
    )
    min_discount: Count | None = Field(
        default=None, description="Only this discount or more, percent."
    )
    product_id: Id | None = Field(default=None, description="Only coupons for this product.")
    sort: CouponSort = Field(
        default="coupon_id",
        description="Order; with a minus, descending. Ties go by coupon_id; coupons without a mean "
        "price come last.",
    )


class CouponOffersQuery(DepartmentQuery):
    """Which days and departments, in which order."""

    from_day: CalendarDay | None = Field(default=None, description="First day.")
    to_day: CalendarDay | None = Field(default=None, description="Last day.")
    sort: CouponOfferSort = Field(
        default="event_date",
        description="Order by day, then by department; with a minus, both descending.",
    )


class ProductsQuery(DepartmentQuery):
    """Which products, in which order."""

    category: Text | None = Field(default=None, description="Only this kind of garment.")
    vendor: Text | None = Field(default=None, description="Only this maker.")
    min_price: Amount | None = Field(default=None, description="Only this price or more.")
    max_price: Amount | None = Field(default=None, description="Only this price or less.")
    sort: ProductSort = Field(
        default="product_id",
        description="Order; with a minus, descending. Ties go by product_id; products without a "
        "price come last.",
    )


class StoreCustomersQuery(PageQuery):
    """Which customers of the shop, in which order."""

    gender: Text | None = Field(default=None, description="Only this gender, F or M.")
    min_age: Count | None = Field(default=None, description="Only this age or more, years.")
    max_age: Count | None = Field(default=None, description="Only this age or less, years.")
    sort: StoreCustomerSort = Field(
        default="customer_id",
        description="Order; with a minus, descending. Ties go by customer_id; customers without a "
        "mean discount come last.",
    )
