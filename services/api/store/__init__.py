"""Coupons, products and customers of a shop."""

from services.api.store import repository, routes

__all__ = ["repository", "routes"]
