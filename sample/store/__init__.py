"""A made-up clothing shop: products, coupons, customers, their orders, and the coupons they used.

Belongs here: the store domain's sample. `generate` writes it and `truth` tells how likely each use
of a coupon was; the other modules each make one part of the shop (`catalogue`, `coupons`,
`shoppers`, `orders`, `coupon_use`) or its files (`tables`, `seeds`).
"""

from sample.store.generate import generate_store
from sample.store.truth import true_probabilities

__all__ = ["generate_store", "true_probabilities"]
