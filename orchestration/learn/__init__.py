"""Learn: trains models of customers: recommendations and coupon propensity."""
