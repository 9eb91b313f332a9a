"""Fixtures that every test may use."""

from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[1]
REALDATA_DIR = PROJECT_DIR.parent / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real files; skips where it is absent."""
    if not REALDATA_DIR.is_dir():
        pytest.skip(f"no real files: {REALDATA_DIR} is absent")
    return REALDATA_DIR
