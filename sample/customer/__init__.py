"""Made-up voucher assignments, and the accounts of a utility supplier.

Belongs here: the customer domain's sample. `generate` is the way in; `vouchers` makes the
assignments with the dirt of the real file, `accounts` the customer base, and `enrichments` what
belongs to its accounts.
"""

from sample.customer.generate import generate_customer

__all__ = ["generate_customer"]
