"""Arrows between rooms point one way: who may import whom, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT_DIR

DAGSTER = {"dagster", "dagster_dbt", "dagster_postgres", "dagster_webserver"}
STEPS = ["load", "transform", "learn", "release"]

# A room, and what nothing in it may import.
BANNED = {
    "pollux": {"orchestration", "services", "cli", "sample", "dbt", "fastapi"} | DAGSTER,
    "orchestration": {"services", "cli", "sample"},
    "services": {"orchestration", "cli", "sample", "dbt"} | DAGSTER,
    "sample": {"orchestration", "services", "cli", "dbt"} | DAGSTER,
    "cli": DAGSTER | {"dbt"},
    **{
        f"orchestration/{step}": DAGSTER
        | {"orchestration.build", "orchestration.status"}
        | {"orchestration.defs", "orchestration.instance"}
        | {f"orchestration.{later}" for later in STEPS[position + 1 :]}
        for position, step in enumerate(STEPS)
    },
    "orchestration/build.py": DAGSTER | {"orchestration.defs", "orchestration.instance"},
    "orchestration/defs": {"orchestration.instance"},
}


@pytest.mark.parametrize("room", BANNED)
def test_imports_point_one_way(room: str) -> None:
    found = list(imports(PROJECT_DIR / room))
    assert found
    wrong = [
        f"{path.relative_to(PROJECT_DIR)}: {name}"
        for path, name in found
        for banned in BANNED[room]
        if name == banned or name.startswith(f"{banned}.")
    ]
    assert wrong == []


def test_dagster_stays_in_its_rooms() -> None:
    rooms = {
        path.relative_to(PROJECT_DIR).parts[:2]
        for folder in ("pollux", "orchestration", "services", "sample", "cli")
        for path, name in imports(PROJECT_DIR / folder)
        if name.partition(".")[0] in DAGSTER
    }
    assert rooms == {("orchestration", "defs"), ("orchestration", "instance")}


def test_streamlit_stays_in_the_dashboard() -> None:
    rooms = {
        path.relative_to(PROJECT_DIR).parts[:2]
        for folder in ("pollux", "orchestration", "services", "sample", "cli")
        for path, name in imports(PROJECT_DIR / folder)
        if name.partition(".")[0] in {"streamlit", "altair"}
    }
    assert rooms == {("services", "dashboard")}


def imports(room: Path) -> Iterator[tuple[Path, str]]:
    """Modules that a file or the files of a folder import, inside functions too."""
    for path in [room] if room.is_file() else sorted(room.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)
