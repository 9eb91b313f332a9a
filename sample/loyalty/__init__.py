"""A made-up fan club: its loyalty list, and the response to its promotions.

Belongs here: the loyalty domain's sample. `generate` is the way in; `club` makes the people,
`promotions` what they click, put into baskets and buy.
"""

from sample.loyalty.generate import generate_loyalty

__all__ = ["generate_loyalty"]
