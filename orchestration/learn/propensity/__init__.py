"""Coupon propensity: from orders and coupons to a model that is measured before it scores.

`history` reads the store's orders, `pairs` makes rows to learn from, `training` fits, calibrates
and promotes, `measures` measures predictions, `card` and `plots` report to people.
"""
