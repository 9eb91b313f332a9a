"""docs/dashboard/ from a dashboard: `python -m docs.dashboard_pictures docs/dashboard`.

Beside a `pollux up` with its sample; needs a Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from pollux.runtime.settings import Settings
from services.dashboard.pages import PAGES
from tests.services.dashboard.drawn import address, wait_until_quiet
from tests.support.browser import browse

WIDTH, HEIGHT = 1400, 1500


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
            page.open(url + address(shown.PATH), until="true")
            wait_until_quiet(page)
            page.picture(to / f"{shown.PATH}.webp")


if __name__ == "__main__":
    settings = Settings()
    write_pictures(Path(sys.argv[1]), f"http://{settings.dashboard_host}:{settings.dashboard_port}")
