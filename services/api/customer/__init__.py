"""Vouchers, and the accounts of a utility's customers."""

from services.api.customer import repository, routes

__all__ = ["repository", "routes"]
