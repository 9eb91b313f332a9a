"""Vouchers, and the accounts of a utility's customers."""
