"""Routes of coupons, products and the shop's customers: paths, parameters, documentation."""

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from services.api.lists import answer_list
from services.api.live import Live, answer_document
from services.api.store import repository
from services.api.store.repository import (
    DOMAIN,
    unknown_coupon,
    unknown_product,
)
from services.api.store.schemas import (
    CouponId,
    CouponInfo,
    CouponInfoPage,
    CouponOffersPage,
    CouponOffersQuery,
    CouponProductsQuery,
    CouponsQuery,
    CustomerInfo,
    CustomerInfoPage,
    ProductId,
    ProductInfo,
    ProductInfoPage,
    ProductsQuery,
    StoreCustomerId,
    StoreCustomersQuery,
)
from services.common.answers import answers_of
from services.common.openapi import live_responses, release_responses
from services.common.paging import foreign_next
from services.common.problems import invalid_input
from services.common.scopes import ScopedRouter
from services.common.shop import unknown_store_customer
from services.common.values import NO_NUMBER

coupons = ScopedRouter(KeyScope.STORE_READ, prefix="/v1/coupons", tags=["coupons"])
coupon_offers = ScopedRouter(KeyScope.STORE_READ, prefix="/v1/coupon-offers", tags=["coupons"])
products = ScopedRouter(KeyScope.STORE_READ, prefix="/v1/products", tags=["products"])
store_customers = ScopedRouter(
    KeyScope.STORE_READ, prefix="/v1/store-customers", tags=["store customers"]
)
ROUTERS = (coupons, coupon_offers, products, store_customers)

BAD_COUPON = invalid_input("path", "coupon_id", NO_NUMBER)
BAD_PRODUCT = invalid_input("path", "product_id", NO_NUMBER)
BAD_CUSTOMER = invalid_input("path", "customer_id", NO_NUMBER)


@coupons.get(
    "",
    response_model=CouponInfoPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List coupons",
)
async def list_coupons(request: Request, query: Annotated[CouponsQuery, Query()]) -> Response:
    """Coupons by department, day, type, discount and product, a page at a time."""
    return await answer_list(request, repository.COUPONS, query)


@coupons.get(
    "/{coupon_id}",
    response_model=CouponInfo,
    responses=release_responses(DOMAIN, unknown_coupon(7), BAD_COUPON),
    summary="A coupon",
)
async def read_coupon(request: Request, coupon_id: CouponId) -> Response:
    """What it requires and gives, when it is valid, what its products cost."""
    return await answers_of(request).make(request, DOMAIN, repository.COUPON.read, coupon_id)


@coupons.get(
    "/{coupon_id}/products",
    response_model=ProductInfoPage,
    responses=release_responses(DOMAIN, unknown_coupon(7), BAD_COUPON),
    summary="Products of a coupon",
)
async def list_coupon_products(
    request: Request, coupon_id: CouponId, query: Annotated[CouponProductsQuery, Query()]
) -> Response:
    """Products that the coupon is for, by number."""
    return await answer_list(request, repository.COUPON_PRODUCTS, query, coupon_id)


@coupon_offers.get(
    "",
    response_model=CouponOffersPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List what was offered in the shop",
)
async def list_coupon_offers(
    request: Request, query: Annotated[CouponOffersQuery, Query()]
) -> Response:
    """Entries, focus events, offers and their use by day and department, a page at a time."""
    return await answer_list(request, repository.OFFERS, query)


@products.get(
    "",
    response_model=ProductInfoPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List products",
)
async def list_products(request: Request, query: Annotated[ProductsQuery, Query()]) -> Response:
    """Products by department, kind, maker and price, a page at a time."""
    return await answer_list(request, repository.PRODUCTS, query)


@products.get(
    "/{product_id}",
    response_model=ProductInfo,
    responses=release_responses(DOMAIN, unknown_product(7), BAD_PRODUCT),
    summary="A product",
)
async def read_product(request: Request, product_id: ProductId) -> Response:
    """What it is, who makes it, what it costs."""
    return await answers_of(request).make(request, DOMAIN, repository.PRODUCT.read, product_id)


@store_customers.get(
    "",
    response_model=CustomerInfoPage,
    responses=release_responses(DOMAIN, foreign_next()),
    summary="List customers of the shop",
)
async def list_store_customers(
    request: Request, query: Annotated[StoreCustomersQuery, Query()]
) -> Response:
    """Customers by gender, age and what they bought, a page at a time."""
    return await answer_list(request, repository.STORE_CUSTOMERS, query)


@store_customers.get(
    "/{customer_id}",
    response_model=CustomerInfo,
    responses=live_responses(DOMAIN, unknown_store_customer(7), BAD_CUSTOMER),
    summary="A customer of the shop",
)
async def read_store_customer(
    request: Request, customer_id: StoreCustomerId, query: Live
) -> Response:
    """Who the customer is, what they pay for an item, how they use coupons."""
    return await answer_document(request, repository.STORE_CUSTOMER, customer_id, query)
