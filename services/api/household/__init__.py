"""Households and campaigns."""

from services.api.household import repository, routes

__all__ = ["repository", "routes"]
