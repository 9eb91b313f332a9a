"""Customers of the sample walk through the store, for anyone to watch."""
