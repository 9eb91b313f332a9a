"""Pages as a browser opens them: at which address, and when they are drawn."""

import time

from services.dashboard.pages import PAGES
from tests.support.browser import Page

SECONDS = 60
# What a page is opened with where its address alone shows little.
QUERIES = {
    "campaigns": "?campaign=18",
    "coupons": "?customer=2",
    "household": "?household=1",
    "recommendations": "?household=1",
}
# Nothing runs any more, and nothing is about to be drawn.
IS_QUIET = """
!!document.querySelector('h1, [data-testid=stForm]')
  && !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')
"""


def address(path: str) -> str:
    """The address of a page below the dashboard's."""
    return f"/{'' if path == PAGES[0].PATH else path}{QUERIES.get(path, '')}"


def wait_until_quiet(page: Page) -> None:
    """Waits until a page has not changed for a while: charts and tables come last."""
    deadline = time.monotonic() + SECONDS
    while not _is_quiet(page):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_quiet(page: Page) -> bool:
    for _ in range(4):
        if not page.evaluate(IS_QUIET):
            return False
        time.sleep(0.25)
    return True
