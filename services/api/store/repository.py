"""What the API reads from a release of the store domain.

Belongs here: its tables, the conditions of its lists, and the problems of unknown keys. Does not
belong here: HTTP, and how a list becomes SQL.
"""

from services.api.listing import Listing
from services.api.queries import Lookup, Mart
from services.common.problems import ProblemError, not_found
from services.common.shop import unknown_store_customer

DOMAIN = "store"


def unknown_coupon(coupon_id: int) -> ProblemError:
    """The coupon is not in the release."""
    return not_found("unknown-coupon", f"No coupon {coupon_id}.")


def unknown_product(product_id: int) -> ProblemError:
    """The product is not in the release."""
    return not_found("unknown-product", f"No product {product_id}.")


COUPON_INFO = Mart(DOMAIN, "coupon_info")
COUPON_OFFERS = Mart(DOMAIN, "coupon_offers")
PRODUCT_INFO = Mart(DOMAIN, "product_info")
CUSTOMER_INFO = Mart(DOMAIN, "customer_info")

COUPON = Lookup(mart=COUPON_INFO, key="coupon_id", unknown=unknown_coupon)

PRODUCT = Lookup(mart=PRODUCT_INFO, key="product_id", unknown=unknown_product)

# A department without coupons is still a known name.
DEPARTMENTS = (COUPON_INFO, PRODUCT_INFO, COUPON_OFFERS)

COUPONS: Listing[int] = Listing(
    name="coupons",
    mart=COUPON_INFO,
    key=["coupon_id"],
    equal=["department", "coupon_type"],
    filters={
        "valid_on": "start_date <= {0}::text::date and end_date >= {0}::text::date",
        "min_discount": "discount >= {0}::integer",
        "product_id": "coupon_id in ("
        "select coupon_id from {release}.coupon_product where product_id = {0}::bigint)",
    },
    names={"department": DEPARTMENTS},
    keys={"product_id": PRODUCT},
)

COUPON_PRODUCTS = Listing(
    name="coupon-products",
    mart=PRODUCT_INFO,
    key=["product_id"],
    within="product_id in ("
    "select product_id from {release}.coupon_product where coupon_id = {0}::bigint)",
    parent=COUPON,
)

OFFERS: Listing[int] = Listing(
    name="coupon-offers",
    mart=COUPON_OFFERS,
    key=["event_date", "department"],
    equal=["department"],
    filters={
        "from_day": "event_date >= {0}::text::date",
        "to_day": "event_date <= {0}::text::date",
    },
    names={"department": DEPARTMENTS},
)

PRODUCTS: Listing[int] = Listing(
    name="products",
    mart=PRODUCT_INFO,
    key=["product_id"],
    equal=["department", "category", "vendor"],
    filters={
        "min_price": "buy_price >= {0}::numeric",
        "max_price": "buy_price <= {0}::numeric",
    },
    names={"department": DEPARTMENTS, "category": (PRODUCT_INFO,), "vendor": (PRODUCT_INFO,)},
)

STORE_CUSTOMER = Lookup(mart=CUSTOMER_INFO, key="customer_id", unknown=unknown_store_customer)

STORE_CUSTOMERS: Listing[int] = Listing(
    name="store-customers",
    mart=CUSTOMER_INFO,
    key=["customer_id"],
    equal=["gender"],
    filters={
        "min_age": "age >= {0}::integer",
        "max_age": "age <= {0}::integer",
    },
    names={"gender": (CUSTOMER_INFO,)},
)
