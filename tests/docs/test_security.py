"""SECURITY.md names tests that exist, and says where nothing stops an attacker."""

import ast
import re
from functools import cache

from tests.conftest import PROJECT_DIR

TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
NOTHING = "nothing"


def threats() -> list[list[str]]:
    """The rows of the threat model: who, what for, what stops them, the tests."""
    page = (PROJECT_DIR / "SECURITY.md").read_text()
    table = page.partition("| who | wants |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((PROJECT_DIR / file).read_text())
    return {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}


def test_each_threat_has_a_test_that_exists_or_says_that_nothing_stops_it() -> None:
    rows = threats()
    assert len(rows) > 10
    for who, what, stops, tests in rows:
        named = TEST.findall(tests)
        assert bool(named) != stops.lower().startswith(NOTHING), (who, what)
        missing = [name for file, name in named if name not in functions_of(file)]
        assert missing == [], (who, what)
