"""Documents about coupons, products and the shop's customers, and the parameters of their lists.

Belongs here: the documents (one field per column of a mart, in the mart's order). Does not belong
here: serialisation of answers, which PostgreSQL does; a test holds that both are the same.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from services.api.documents import (
    BIGINT_MAX,
    Amount,
    CalendarDay,
    Count,
    Document,
    Integer,
    MoneyOrNull,
    Page,
    PageQuery,
    Text,
    id_in_path,
)

CouponId = Annotated[Integer, id_in_path("Coupon.", 2)]
ProductId = Annotated[Integer, id_in_path("Product.", 7)]
StoreCustomerId = Annotated[Integer, id_in_path("Customer of the shop.", 1)]
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


def _as_the_data_spell_it(department: str) -> str:
    return "Sport" if department.lower() == "sports" else department


Department = Annotated[Text, AfterValidator(_as_the_data_spell_it)]


class Coupon(Document):
    """A coupon: what it takes and gives, when it is valid, what its products cost."""

    coupon_id: int = Field(description="Coupon.", examples=[2])
    coupon_type: str = Field(
        description="buy_more (several of one product), buy_all (all its products), just_discount "
        "or department (anything in it).",
        examples=["buy_more"],
    )
    department: str = Field(
        description="Department; Sport where the data say Sports.", examples=["Boys"]
    )
    discount: int = Field(description="Percent off the price.", examples=[34])
    how_many_products_required: int | None = Field(
        description="Items to buy for the discount; as in the data, where coupons of a department "
        "may have -1.",
        examples=[4],
    )
    start_date: date = Field(
        description="First day on which the coupon is valid.", examples=["2010-01-01"]
    )
    end_date: date = Field(
        description="Last day on which the coupon is valid.", examples=["2010-02-12"]
    )
    product_mean_price: MoneyOrNull = Field(
        description="Mean regular price of the coupon's products, dollars, halves up; of a coupon "
        "without known products what the shop's own aggregates say, null where they "
        "say nothing.",
        examples=[148.68],
    )
    products_available: int = Field(
        description="Number of the coupon's known products, else what the shop's own aggregates "
        "say, else 0.",
        examples=[1],
    )


class StoreCustomer(Document):
    """A customer of the shop: who it is, what an item costs it, how it uses coupons."""

    customer_id: int = Field(description="Customer.", examples=[1])
    gender: str | None = Field(description="F or M; null where unknown.", examples=["F"])
    age: int | None = Field(description="Years; null where unknown.", examples=[49])
    mean_buy_price: MoneyOrNull = Field(
        description="Mean price paid for an item, dollars, halves up; null where nothing was "
        "bought.",
        examples=[74.16],
    )
    total_coupons_used: int = Field(description="Items bought with a coupon.", examples=[81])
    mean_discount_received: MoneyOrNull = Field(
        description="Mean discount of an item, percent of its original price, halves up; items "
        "without an original price do not count. Null where no item counts.",
        examples=[21.64],
    )
    unique_products_bought: int = Field(description="Distinct products bought.", examples=[224])
    unique_products_bought_with_coupons: int = Field(
        description="Distinct products bought with a coupon.", examples=[71]
    )
    total_items_bought: int = Field(description="Items bought.", examples=[286])


class Product(Document):
    """A product of the shop."""

    product_id: int = Field(description="Product.", examples=[7])
    name: str | None = Field(description="Name.", examples=["Gaastra Trousers Men"])
    category: str | None = Field(description="Kind of garment.", examples=["Trousers"])
    sizes: str | None = Field(description="Sizes as printed, such as S-XL.", examples=["S-XL"])
    vendor: str | None = Field(description="Maker.", examples=["Gaastra"])
    description: str | None = Field(
        description="Name, maker and sizes in a sentence.",
        examples=["Trousers for men by Gaastra, S-XL"],
    )
    buy_price: MoneyOrNull = Field(
        description="Regular price of an item, dollars.", examples=[89.95]
    )
    department: str | None = Field(
        description="Department; Sport where the data say Sports.", examples=["Men"]
    )


class CouponOffer(Document):
    """What was offered to customers in a department of the shop on a day, and what was used."""

    event_date: date = Field(
        description="Day of the events by the shop's clock.", examples=["2026-11-20"]
    )
    department: str = Field(
        description="Department; Sport where the data say Sports.", examples=["Boys"]
    )
    entries: int = Field(
        description="Entries into the shop on that day. An entry names no department, so every "
        "department of the day has the same number.",
        examples=[120],
    )
    focuses: int = Field(
        description="Focus events, which tell that a customer stopped in the department.",
        examples=[48],
    )
    offers: int = Field(description="Focus events that were answered with a coupon.", examples=[20])
    offers_used: int | None = Field(
        description="Offers whose customer bought an item with that coupon later, while it was "
        "valid; a coupon that was offered twice before it was used counts twice. Null where the "
        "shop brings no orders.",
        examples=[7],
    )


class CouponPage(Page):
    """A page of coupons."""

    data: list[Coupon]


class CouponOfferPage(Page):
    """A page of days and departments."""

    data: list[CouponOffer]


class ProductPage(Page):
    """A page of products."""

    data: list[Product]


class StoreCustomerPage(Page):
    """A page of customers of the shop."""

    data: list[StoreCustomer]


class CouponsQuery(PageQuery):
    """Which coupons, in which order."""

    department: Department | None = Field(
        default=None, description="Only this department; Sports means Sport."
    )
    valid_on: CalendarDay | None = Field(
        default=None, description="Only coupons that are valid on this day."
    )
    coupon_type: Literal["buy_more", "buy_all", "just_discount", "department"] | None = Field(
        default=None, description="Only this type."
    )
    min_discount: Count | None = Field(
        default=None, description="Only this discount or more, percent."
    )
    product_id: Integer | None = Field(
        default=None,
        ge=-BIGINT_MAX - 1,
        le=BIGINT_MAX,
        description="Only coupons for this product.",
    )
    sort: CouponSort = Field(
        default="coupon_id",
        description="Order; with a minus, descending. Ties go by coupon_id; coupons without a mean "
        "price come last.",
    )


class CouponOffersQuery(PageQuery):
    """Which days and departments, in which order."""

    department: Department | None = Field(
        default=None, description="Only this department; Sports means Sport."
    )
    from_day: CalendarDay | None = Field(default=None, description="First day.")
    to_day: CalendarDay | None = Field(default=None, description="Last day.")
    sort: CouponOfferSort = Field(
        default="event_date",
        description="Order; with a minus, descending. Departments of a day go by name, likewise.",
    )


class ProductsQuery(PageQuery):
    """Which products, in which order."""

    department: Department | None = Field(
        default=None, description="Only this department; Sports means Sport."
    )
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
