"""Only its owner can read an installation's files."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pollux.runtime.privacy import close_folder
from tests.conftest import PROJECT_DIR


def modes(folder: Path) -> dict[str, int]:
    paths = [folder, *folder.rglob("*")]
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in paths
        if not path.is_symlink()
    }


@pytest.fixture
def usual_mask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def command(data_dir: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=os.environ | {"POLLUX_DATA_DIR": str(data_dir)},
        cwd=PROJECT_DIR,
        check=True,
        capture_output=True,
    )


def test_what_a_command_makes_is_its_owners_alone(tmp_path: Path, usual_mask: None) -> None:
    data = tmp_path / "data"
    file = PROJECT_DIR / "seeds" / "raw_household__product.csv"
    command(data, "load", "-D", "household", "-d", "product", "--from", str(file))
    found = modes(data)
    assert len(found) > 3
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


def test_what_was_asked_for_elsewhere_is_as_the_users_other_files(
    tmp_path: Path, usual_mask: None
) -> None:
    to = tmp_path / "files"
    command(tmp_path / "data", "sample", "--to", str(to), "--scale", "0.001")
    assert {mode for name, mode in modes(to).items() if name != "."} == {0o644}


def test_a_folder_of_an_earlier_version_is_closed(tmp_path: Path, usual_mask: None) -> None:
    data = tmp_path / "data"
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    (data / "releases" / "store" / "r1").mkdir(parents=True)
    (data / "releases" / "store" / "r1" / "products.parquet").write_text("")
    (data / "releases" / "store" / "current").symlink_to("r1")
    (data / "link").symlink_to(outside)
    program = data / "program"
    program.write_text("")
    program.chmod(0o755)
    command(data, "status")
    found = modes(data)
    assert found["."] == found["releases/store/r1"] == found["program"] == 0o700
    assert found["releases/store/r1/products.parquet"] == 0o600
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    # A closed folder is not looked through again.
    program.chmod(0o755)
    close_folder(data)
    assert modes(data)["program"] == 0o755


def test_a_folder_that_is_not_there_is_none_to_close(tmp_path: Path) -> None:
    close_folder(tmp_path / "nobody")
