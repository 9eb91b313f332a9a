"""A customer and a coupon as the scorer is asked about them."""

CUSTOMER = {
    "customer_id": 127, "gender": "F", "age": 46, "mean_buy_price": 17.35,
    "total_coupons_used": 21, "mean_discount_received": 2.4, "unique_products_bought": 310,
    "unique_products_bought_with_coupons": 19, "total_items_bought": 402,
}  # fmt: skip
COUPON = {
    "coupon_id": 22, "coupon_type": "just_discount", "department": "Sport", "discount": 30,
    "how_many_products_required": 1, "product_mean_price": 21.5, "products_available": 4,
}  # fmt: skip
