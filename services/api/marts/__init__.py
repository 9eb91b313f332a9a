"""Any released mart, served by its contract, whether or not it has a route of its own."""

from services.api.marts import repository, routes

__all__ = ["repository", "routes"]
