"""Entry and focus events, answered with coupons."""
