"""A made-up grocery retailer in the eight files of "The Complete Journey".

Belongs here: the household domain's sample. `generate` is the way in; the other modules each make
one part of the retailer (`catalogue`, `stores`, `support`, `campaigns`, `traits`, `trips`,
`baskets`, `prices`, `redemptions`) or write it (`tables`).
"""

from sample.household.generate import generate_household

__all__ = ["generate_household"]
