"""Any released mart, by its contract: what has no route of its own is served all the same."""

from services.api.marts import repository, routes

__all__ = ["repository", "routes"]
