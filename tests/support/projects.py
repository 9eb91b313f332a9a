"""Copies of the dbt project for tests that change it, and a dbt that runs in the test's process."""

import re
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import PROJECT_DIR

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult

PARTS = ("dbt_project.yml", "models", "macros", "seeds", "profiles", "tests/dbt")

SHOWN_FILE = re.compile(r"^`([\w./]+)`:\n\n((?:(?:    .*)?\n)+)", re.MULTILINE)


def copy_project(to: Path) -> Path:
    """Copies the files that dbt reads to a folder."""
    for part in PARTS:
        source = PROJECT_DIR / part
        (to / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to / part)
        else:
            shutil.copy(source, to / part)
    return to


def copy_domains(to: Path, *domains: str) -> Path:
    """Copies what some domains' marts are made of, which dbt parses in a part of the time."""
    copy_project(to)
    for layer in ("intermediate", "marts"):
        for folder in (to / "models" / layer).iterdir():
            if folder.name not in domains:
                shutil.rmtree(folder)
    # They speak of marts of every domain.
    for path in (to / "models" / "_exposures.yml", *(to / "tests" / "dbt").glob("*.sql")):
        path.unlink()
    return to


def run_dbt(project: Path, *arguments: str) -> "dbtRunnerResult":
    """Runs a dbt command on a project; the parsed project is kept for the next command."""
    # Every test process would import dbt, for one that runs it.
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    try:
        return dbtRunner().invoke(
            [
                *arguments,
                *("--project-dir", str(project), "--profiles-dir", str(project / "profiles")),
                *("--target-path", str(project / "target"), "--log-path", str(project / "logs")),
                "--quiet",
            ]
        )
    finally:
        # dbt would keep the file open until the process ends.
        DuckDBConnectionManager.close_all_connections()


def copy_checkout(to: Path) -> Path:
    """Copies everything an installation runs from, so that commands run from the copy."""
    for package in ("cli", "orchestration", "pollux", "sample", "services"):
        shutil.copytree(
            PROJECT_DIR / package, to / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return copy_project(to)


def files_of_page(page: Path) -> dict[str, str]:
    """The files that a page shows: a path in backquotes with a colon, then an indented block."""
    found = {}
    for path, block in SHOWN_FILE.findall(page.read_text()):
        # A command may follow in the same block.
        text = textwrap.dedent(block.partition("\n\n    .venv/")[0])
        found[path] = text.strip() + "\n"
    return found


def commands_of_page(page: Path) -> list[str]:
    """The commands that a page shows, each on an indented line."""
    return re.findall(r"^    ((?:\.venv/bin/|curl ).+)$", page.read_text(), re.MULTILINE)


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Writes files below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
