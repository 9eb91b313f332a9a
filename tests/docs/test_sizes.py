"""The figures of docs/deploy.md on how much it takes are those of the last benchmarks."""

import re

from tests.conftest import PROJECT_DIR

ROW = re.compile(r"^\| .*?\| ([\d,.]+ [^|]+) \| ([^|]+) \|$", re.MULTILINE)


def test_sizes_are_as_measured() -> None:
    page = (PROJECT_DIR / "docs" / "deploy.md").read_text()
    section = page.partition("\n## How much it takes\n")[2].partition("\n## ")[0]
    rows = ROW.findall(section)
    assert len(rows) == section.count("\n| ") - 2
    measured = (PROJECT_DIR / "docs" / "benchmarks.md").read_text()
    assert [row for row in rows if f"\n| {row[1]} | {row[0]} |" not in measured] == []
