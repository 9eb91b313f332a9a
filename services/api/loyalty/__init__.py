"""Members of a fan club, and what promotions led to."""
