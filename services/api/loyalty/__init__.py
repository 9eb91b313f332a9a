"""Members of a fan club, and what promotions led to."""

from services.api.loyalty import repository, routes

__all__ = ["repository", "routes"]
