"""Fixtures that every test may use."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pollux.runtime.postgres import EmbeddedPostgres

PROJECT_DIR = Path(__file__).resolve().parents[1]
# The real files cannot be given on: who has them says where.
REALDATA_DIR = Path(
    os.environ.get("POLLUX_TEST_REALDATA", PROJECT_DIR.parent / "shared" / "realdata")
)


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
