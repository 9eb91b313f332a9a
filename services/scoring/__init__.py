"""The coupon scorer: how likely a customer is to use a coupon."""
