"""Copies of the dbt project for tests that change it, and a dbt that runs in the test's process."""

import shutil
from pathlib import Path

from dbt.cli.main import dbtRunner, dbtRunnerResult

from tests.conftest import PROJECT_DIR

PARTS = ("dbt_project.yml", "models", "macros", "seeds", "profiles", "tests/dbt")


def copy_project(to: Path) -> Path:
    """Copies what dbt reads of the project to a folder."""
    for part in PARTS:
        source = PROJECT_DIR / part
        (to / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to / part)
        else:
            shutil.copy(source, to / part)
    return to


def run_dbt(project: Path, *arguments: str) -> dbtRunnerResult:
    """Runs a dbt command on a project; what it parsed is kept for the next command."""
    return dbtRunner().invoke(
        [
            *arguments,
            *("--project-dir", str(project), "--profiles-dir", str(project / "profiles")),
            *("--target-path", str(project / "target"), "--log-path", str(project / "logs")),
            "--quiet",
        ]
    )
