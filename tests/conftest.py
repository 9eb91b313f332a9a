"""Fixtures that every test may use: folders, raw files, installations made once and copied."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.build import build
from orchestration.learn.propensity.card import Card
from orchestration.learn.propensity.pairs import read_pairs
from orchestration.learn.propensity.training import train_on
from orchestration.load.run import load
from orchestration.release.publish import release
from orchestration.transform.manifest import prepare_manifest
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import Settings
from sample.household import generate_household
from sample.store import generate_store
from tests.support.histories import open_sample

PROJECT_DIR = Path(__file__).resolve().parents[1]
# The real files cannot be given on: who has them says where.
REALDATA_DIR = Path(
    os.environ.get("POLLUX_TEST_REALDATA", PROJECT_DIR.parent / "shared" / "realdata")
)
SAMPLE_SCALE = 0.02

Pollux = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real files; skips where it is absent."""
    if not REALDATA_DIR.is_dir():
        pytest.skip(f"no real files in {REALDATA_DIR}: POLLUX_TEST_REALDATA says where they are")
    return REALDATA_DIR


@pytest.fixture(scope="session")
def short_tmp() -> Iterator[Path]:
    """A folder with a short path, as a unix socket needs; its servers end with it."""
    folder = Path(tempfile.mkdtemp(prefix="px"))
    yield folder
    for installation in folder.iterdir():
        postgres = EmbeddedPostgres(installation)
        postgres.stop()
        shutil.rmtree(postgres.home, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


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


@pytest.fixture(scope="session")
def store_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of a store of 20 customers."""
    folder = tmp_path_factory.mktemp("store")
    generate_store(folder, scale=0.02, seed=1)
    return folder


@pytest.fixture(scope="session")
def trained_store(
    store_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, Card]:
    """An installation with a promoted model; tests must not change it."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("trained"))
    with open_sample(store_files) as history:
        pairs = read_pairs(history)
    return settings, train_on(settings, pairs, data="sample", seed=1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of these folders need a broker and a database."""
    folders = [PROJECT_DIR / "tests" / name for name in ("events", "e2e", "integration")]
    for item in items:
        if any(folder in item.path.parents for folder in folders):
            item.add_marker(pytest.mark.integration)
