"""No two kinds of advisory locks share their numbers: each would hold up the other by chance."""

import re

from tests.conftest import PROJECT_DIR

PACKAGES = ("cli", "orchestration", "pollux", "services")
# A key that is a number in the code: of a lock, or a constant that may become one.
OWN_NUMBER = re.compile(r"advisory_(?:xact_)?lock\(\s*\d|7_?655_?9\d\d")


def test_numbers_of_locks_stand_in_one_place() -> None:
    found = [
        path.relative_to(PROJECT_DIR).as_posix()
        for package in PACKAGES
        for kind in ("*.py", "*.sql")
        for path in (PROJECT_DIR / package).rglob(kind)
        if OWN_NUMBER.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["pollux/runtime/locks.py"]
