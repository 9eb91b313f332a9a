"""Coupons, products and customers of a shop."""
