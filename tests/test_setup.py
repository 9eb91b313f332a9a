"""`make setup`: the lock holds what pyproject.toml asks for; a wrong Python gets one line."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
ENTRIES = re.split(r"\n(?=\S)", re.sub(r"\A(#.*\n)+", "", LOCK))
EXTRAS = ("pipeline", "services", "dev", "docs")


def package(requirement: str) -> str:
    """The normalised name of a requirement: `psycopg[binary]>=3.2` → `psycopg`."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", requirement)[0]).lower()


def test_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    locked = {package(entry) for entry in ENTRIES}
    assert sorted({package(each) for each in wanted} - locked) == []


def test_every_locked_package_has_a_version_and_hashes() -> None:
    for entry in ENTRIES:
        assert re.match(r"[a-z0-9-]+==[^ ]+( ; .+)? \\\n    --hash=sha256:[0-9a-f]{64}", entry), (
            entry
        )


def test_lock_tells_the_command_that_make_lock_runs() -> None:
    """Renovate runs what the lock's second line says."""
    command = LOCK.splitlines()[1].removeprefix("#    uv ").split()
    recipe = (ROOT / "Makefile").read_text().split("\nlock: setup\n")[1].split("\n\n")[0]
    assert " ".join(command) in " ".join(recipe.replace("\\\n", "").split())


def test_lock_names_no_registry() -> None:
    assert "://" not in LOCK
    assert not (ROOT / "uv.lock").exists()


def make_setup(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    """`make setup` in `folder` with an interpreter whose text is `python`."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    interpreter = folder / "python"
    interpreter.write_text(f"#!/bin/sh\n{python}\n")
    interpreter.chmod(0o755)
    return subprocess.run(
        [shutil.which("make") or "make", "--silent", "setup", f"PYTHON={interpreter}"],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize(
    ("python", "message"),
    [
        # A Python outside the range: the first question is answered with an error.
        ("exit 1", "Pollux needs Python 3.11 to 3.13: make setup PYTHON=python3.12"),
        # A Python in the range without venv or ensurepip, as Debian packages it.
        (
            'case "$2" in *ensurepip*) exit 1;; esac',
            "has no venv module: install it (Debian: python3-venv)",
        ),
    ],
    ids=["other version", "no venv module"],
)
def test_a_wrong_python_is_told_in_one_line(tmp_path: Path, python: str, message: str) -> None:
    done = make_setup(tmp_path, python)
    assert done.returncode != 0
    assert done.stdout.strip().endswith(message)
    assert len(done.stdout.strip().splitlines()) == 1
    assert not (tmp_path / ".venv").exists()
