"""The demo: customers of the sample walk through the store."""
