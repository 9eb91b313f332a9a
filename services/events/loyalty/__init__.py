"""The loyalty list and conversions, answered with promo codes."""
