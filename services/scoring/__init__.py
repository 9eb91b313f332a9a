"""The coupon scorer: how likely a customer uses a coupon."""
