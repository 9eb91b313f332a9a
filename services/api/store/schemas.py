"""Documents about coupons, products and the shop's customers, and the parameters of their lists.

Documents are made from the marts' contracts. PostgreSQL serialises the answers; a test checks that
they match.
"""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from services.api.documents import (
    IdsQuery,
    PageQuery,
    document_of,
    page_of,
    sorted_by,
    sorted_by_any,
)
from services.common.values import (
    Amount,
    CalendarDay,
    Codes,
    Count,
    Department,
    Id,
    Names,
    Text,
)

CouponId = Annotated[Id, Path(description="Coupon.", examples=[2])]
ProductId = Annotated[Id, Path(description="Product.", examples=[7])]
StoreCustomerId = Annotated[Id, Path(description="Customer of the shop.", examples=[1])]


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

    department: Names[Department] = Field(
        default=None, description="Only these departments; Sports means Sport."
    )


class CouponsQuery(DepartmentQuery, IdsQuery):
    """Which coupons, in which order."""

    valid_on: CalendarDay | None = Field(
        default=None, description="Only coupons that are valid on this day."
    )
    coupon_type: Codes[Literal["buy_more", "buy_all", "just_discount", "department"]] = Field(
        default=None, description="Only these types."
    )
    min_discount: Count | None = Field(
        default=None, description="Only this discount or more, percent."
    )
    product_id: Id | None = Field(default=None, description="Only coupons for this product.")
    sort: Annotated[
        str,
        sorted_by(
            "coupon_id", "department", "discount", "start_date", "end_date", "product_mean_price"
        ),
    ] = Field(
        default="coupon_id",
        description="Order; with a minus, descending. Ties go by coupon_id; coupons without a mean "
        "price come last.",
    )


class CouponProductsQuery(PageQuery):
    """In which order."""

    sort: Annotated[str, sorted_by_any("store", "product_info")] = Field(
        default="product_id",
        description="Order; with a minus, descending. Ties go by product_id.",
    )


class CouponOffersQuery(DepartmentQuery):
    """Which days and departments, in which order."""

    from_day: CalendarDay | None = Field(default=None, description="First day.")
    to_day: CalendarDay | None = Field(default=None, description="Last day.")
    sort: Annotated[str, sorted_by_any("store", "coupon_offers")] = Field(
        default="event_date",
        description="Order; with a minus, descending. Ties go by day, then by department.",
    )


class ProductsQuery(DepartmentQuery, IdsQuery):
    """Which products, in which order."""

    category: Names[Text] = Field(default=None, description="Only these kinds of garment.")
    vendor: Names[Text] = Field(default=None, description="Only these makers.")
    min_price: Amount | None = Field(default=None, description="Only this price or more.")
    max_price: Amount | None = Field(default=None, description="Only this price or less.")
    sort: Annotated[
        str, sorted_by("product_id", "buy_price", "department", "category", "vendor")
    ] = Field(
        default="product_id",
        description="Order; with a minus, descending. Ties go by product_id; products without a "
        "price come last.",
    )


class StoreCustomersQuery(IdsQuery):
    """Which customers of the shop, in which order."""

    gender: Names[Text] = Field(default=None, description="Only these genders, F or M.")
    min_age: Count | None = Field(default=None, description="Only this age or more, years.")
    max_age: Count | None = Field(default=None, description="Only this age or less, years.")
    sort: Annotated[
        str,
        sorted_by(
            "customer_id", "total_items_bought", "total_coupons_used", "mean_discount_received"
        ),
    ] = Field(
        default="customer_id",
        description="Order; with a minus, descending. Ties go by customer_id; customers without a "
        "mean discount come last.",
    )
