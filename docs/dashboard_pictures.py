"""docs/dashboard/ from a dashboard: `python -m docs.dashboard_pictures docs/dashboard`.

Beside a `pollux up` with its sample; needs a Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from pollux.runtime.settings import Settings
from services.dashboard.pages import PAGES
from tests.support.browser import browse

WIDTH, HEIGHT = 1400, 1500
# What a page shows of the sample.
QUERIES = {
    "campaigns": "campaign=18",
    "coupons": "customer=2",
    "household": "household=1",
    "recommendations": "household=1",
    "vouchers": "country=Peru",
}
# A chart comes a moment after its place.
IS_DRAWN = """
!!document.querySelector('h1')
  && !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')
  && performance.now() > 6000
"""


def write_pictures(to: Path, url: str) -> None:
    """Writes a picture of every page into a folder; raises `OSError` where no Chromium is."""
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("no chromium on the PATH")
    to.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, browse(program, Path(profile)) as page:
        page.resize(WIDTH, HEIGHT)
        page.prefer("light")
        for shown in PAGES:
            path = "" if shown is PAGES[0] else shown.PATH
            page.open(f"{url}/{path}?{QUERIES.get(path, '')}", until=IS_DRAWN)
            page.picture(to / f"{shown.PATH}.webp")


if __name__ == "__main__":
    settings = Settings()
    write_pictures(Path(sys.argv[1]), f"http://{settings.dashboard_host}:{settings.dashboard_port}")
