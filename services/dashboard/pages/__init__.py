"""The pages: one module each, with `TITLE`, `ICON`, `PATH` (its address) and `show`.

To add one, write its module and name it in a group here.
"""

from services.dashboard.pages import household, segments, today

# The page at the root address.
HOME = today
GROUPS = {
    "": [today],
    "Households": [household, segments],
}
PAGES = [page for group in GROUPS.values() for page in group]
