"""In-store events over MQTT, answered with coupons and promo codes."""
