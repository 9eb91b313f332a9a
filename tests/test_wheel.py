"""Wheel and sdist as others install them: in empty environments, on every Python, elsewhere."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.installations import Prepared
from tests.support.releases import CUSTOMER_TABLES, write_release

pytestmark = pytest.mark.endurance

UV = Path(sys.executable).with_name("uv")
PYTHONS = ("3.11", "3.12", "3.13")
THIS = ".".join(map(str, sys.version_info[:2]))
# Where pyenv has those that it does not show.
MORE_FOLDERS = sorted(map(str, Path.home().glob(".pyenv/versions/3.*/bin")))
# What a data folder of its own says, read back in the three forms that a cohort has.
TABLES = """
from pollux import Cohort
cohort = Cohort.init_all_customers()
print(list(cohort.to_pandas()["account_number"]) == cohort.to_polars()["account_number"].to_list())
"""
FROM_BOTH = """
from pollux import Cohort
stored = Cohort.init_all_customers(domain="household", source="store").to_arrow()
released = Cohort.init_all_customers(domain="household", source="release").to_arrow()
print(stored.equals(released), flush=True)
input()
"""
FROM_NOWHERE = """
from pollux import Cohort
Cohort.init_all_customers(source="store")
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files that a release of Pollux publishes."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    subprocess.run(command, cwd=PROJECT_DIR, check=True, capture_output=True)
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a release of four accounts, which the page's examples are about."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    write_release(settings, "customer", 1, CUSTOMER_TABLES)
    return settings.data_dir


def run(*command: object, folder: Path, **environment: object) -> subprocess.CompletedProcess[str]:
    """Runs a program in a folder, with nothing of this environment but its path."""
    kept = {name: os.environ[name] for name in ("HOME", "SSL_CERT_FILE") if name in os.environ}
    kept["PATH"] = os.pathsep.join([*MORE_FOLDERS, os.environ["PATH"]])
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=kept | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
    )


def install(version: str, package: str, folder: Path) -> Path:
    """The interpreter of a new environment with a package; skips where there is no such Python."""
    if run(
        UV, "venv", "--quiet", "--no-python-downloads", "--python", version, "env", folder=folder
    ).returncode:
        pytest.skip(f"no Python {version}")
    python = folder / "env" / "bin" / "python"
    done = run(UV, "pip", "install", "--quiet", "--python", python, package, folder=folder)
    assert done.returncode == 0, done.stderr
    return python


@pytest.mark.parametrize("version", PYTHONS)
def test_the_gateway_runs_its_examples(
    built: dict[str, Path], release: Path, tmp_path: Path, version: str
) -> None:
    python = install(version, str(built["wheel"]), tmp_path)
    page = PROJECT_DIR / "docs" / "gateway.md"
    done = run(python, "-m", "doctest", page, folder=tmp_path, POLLUX_DATA_DIR=release)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_sdist_makes_the_same_and_extras_bring_tables(
    built: dict[str, Path], release: Path, tmp_path: Path
) -> None:
    python = install(THIS, f"pollux[pandas,polars] @ {built['sdist'].as_uri()}", tmp_path)
    done = run(python, "-c", TABLES, folder=tmp_path, POLLUX_DATA_DIR=release)
    assert done.stdout == "True\n", done.stderr
    code = "import importlib.metadata as m; print(*m.files('pollux'), sep='\\n')"
    installed = set(run(python, "-c", code, folder=tmp_path).stdout.split())
    with zipfile.ZipFile(built["wheel"]) as wheel:
        in_wheel = set(wheel.namelist())
    assert {name for name in installed if name.endswith((".py", ".typed"))} == {
        name for name in in_wheel if name.endswith((".py", ".typed"))
    }


def test_the_command_says_where_the_platform_is(built: dict[str, Path], tmp_path: Path) -> None:
    python = install(THIS, str(built["wheel"]), tmp_path)
    done = run(python.with_name("pollux"), "up", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "The pollux command runs from a checkout or the image" in line
    assert line.endswith("docs/deploy.md")
    done = run(python, "-c", FROM_NOWHERE, folder=tmp_path, POLLUX_DATA_DIR=tmp_path / "none")
    assert "pollux.errors.NoDatabaseError" in done.stderr.splitlines()[-1]


def test_the_gateway_reads_a_running_database_and_ends_it_as_its_last_user(
    built: dict[str, Path], prepared: Prepared, short_tmp: Path, tmp_path: Path
) -> None:
    """It brings no programs of PostgreSQL, with which others would end the server."""
    settings = prepared.copy(prepared.household(), short_tmp / "wheel")
    server = EmbeddedPostgres(settings.data_dir)
    server.use()
    python = install(THIS, str(built["wheel"]), tmp_path)
    with subprocess.Popen(
        [python, "-c", FROM_BOTH],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "POLLUX_DATA_DIR": str(settings.data_dir)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "True\n"
        server.leave()
        assert server.is_running()
        reader.communicate("\n", timeout=60)
    assert reader.returncode == 0
    assert not server.is_running()
