"""Installations for tests: a data folder each, made once and copied where a test changes it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.build import build
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.manifest import prepare_manifest
from pollux.runtime.settings import Settings
from sample.household import generate_household
from tests.conftest import PROJECT_DIR

SAMPLE_SCALE = 0.02

Pollux = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def sample_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw files of a small made-up retailer."""
    folder = tmp_path_factory.mktemp("sample")
    generate_household(folder, scale=SAMPLE_SCALE, seed=1)
    return folder


@pytest.fixture(scope="session")
def built(short_tmp: Path, sample_files: Path) -> Settings:
    """An installation, built by DuckDB and released once; tests must not change it."""
    settings = Settings(data_dir=short_tmp / "built")
    load(settings, domain="household", from_=sample_files, sample=True)
    report = build(settings, ["household"])
    report.raise_if_failed()
    release(settings, "household")
    prepare_manifest(settings)
    return settings


@pytest.fixture
def installation(built: Settings, short_tmp: Path, request: pytest.FixtureRequest) -> Settings:
    """A copy of the built installation, not yet released, for a test to change."""
    data_dir = short_tmp / f"i{abs(hash(request.node.nodeid)) % 10**8}"
    data_dir.mkdir()
    for name in ("landing", "builds", "dbt", "dagster"):
        shutil.copytree(built.data_dir / name, data_dir / name)
    shutil.copy(built.warehouse_path, data_dir)
    return Settings(data_dir=data_dir)


@pytest.fixture
def pollux() -> Pollux:
    """Runs the command on an installation, as a user would."""

    def run(
        settings: Settings, *arguments: str, timeout: float = 300, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env=os.environ | {"POLLUX_DATA_DIR": str(settings.data_dir)} | environment,
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
