"""The jobs of continuous integration: on which machines they run, and what."""

import re
from typing import Any

import yaml

from tests.conftest import PROJECT_DIR

JOBS: dict[str, dict[str, Any]] = yaml.safe_load(
    (PROJECT_DIR / ".github" / "workflows" / "ci.yml").read_text()
)["jobs"]


def test_it_runs_on_every_kind_of_machine_that_is_supported() -> None:
    machines = {
        machine
        for job in JOBS.values()
        for machine in job.get("strategy", {}).get("matrix", {}).get("machine", [job["runs-on"]])
    }
    kinds = {
        "-".join(part for part in name.split("-") if not part[0].isdigit()) for name in machines
    }
    assert kinds >= {"ubuntu-latest", "ubuntu-arm", "macos"}


def test_its_commands_are_there() -> None:
    runs = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    targets = {word for run in runs if run.startswith("make ") for word in run.split()[1:]}
    known = re.search(r"^\.PHONY: (.*)$", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE)
    assert known is not None
    assert targets
    assert targets <= set(known[1].split())
    files = {word for run in runs for word in re.findall(r"(?<![\w/])(?:tests|\.ci)/[\w./]+", run)}
    assert files
    assert all((PROJECT_DIR / file).is_file() for file in files)
