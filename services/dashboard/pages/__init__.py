"""The pages: one module each, with `TITLE`, `ICON`, `PATH` (its address) and `show`.

To add one, write its module and name it here.
"""

from services.dashboard.pages import (
    campaigns,
    coupons,
    household,
    loyalty,
    quality,
    recommendations,
    segments,
    today,
    vouchers,
)

# In the order of the navigation; the first is at the root address, too.
PAGES = (
    today,
    household,
    segments,
    campaigns,
    vouchers,
    coupons,
    recommendations,
    loyalty,
    quality,
)
