"""Purchases as they happen: baskets of households, orders of the shop's customers."""
