"""`make setup`: the locks hold what pyproject.toml asks for; a wrong Python gets one line."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What `make setup` installs, and what `make spark` adds to it.
LOCKS = {
    "requirements.lock": ("platform", "pipeline", "services", "dashboard", "dev", "docs"),
    "requirements-spark.lock": ("spark",),
}
VERSION = re.compile(r"([a-z0-9-]+==[^ ]+(?: ; .+)?) \\\n    --hash=sha256:[0-9a-f]{64}")


def entries(lock: str) -> list[str]:
    """The packages of a lock, each with its hashes."""
    return re.split(r"\n(?=\S)", re.sub(r"\A(#.*\n)+", "", (ROOT / lock).read_text()))


def package(requirement: str) -> str:
    """The normalised name of a requirement: `psycopg[binary]>=3.2` → `psycopg`."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", requirement)[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_every_dependency(lock: str) -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*content["project"]["dependencies"]]
    for group in LOCKS[lock]:
        wanted += [one for one in content["dependency-groups"][group] if isinstance(one, str)]
    locked = {package(entry) for entry in entries(lock)}
    assert sorted({package(each) for each in wanted} - locked) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_version_and_hashes(lock: str) -> None:
    for entry in entries(lock):
        assert VERSION.match(entry), entry


def test_locks_agree_where_both_hold_a_package() -> None:
    """Both are installed into one environment."""
    versions = [
        {(package(entry), VERSION.match(entry)[1].partition(" ;")[0]) for entry in entries(lock)}
        for lock in LOCKS
    ]
    shared = {name for name, _ in versions[0]} & {name for name, _ in versions[1]}
    assert "dbt-core" in shared
    assert {one for one in versions[1] if one[0] in shared} <= versions[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_tells_the_command_that_make_lock_runs(lock: str) -> None:
    """Renovate runs what the lock's second line says."""
    command = (ROOT / lock).read_text().splitlines()[1].removeprefix("#    uv ").split()
    recipe = (ROOT / "Makefile").read_text().split("\nlock: setup\n")[1].split("\n\n")[0]
    assert " ".join(command) in " ".join(recipe.replace("\\\n", "").split())


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_registry(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()
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
