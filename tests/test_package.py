"""What someone who finds the package sees: its licence, its links, its version."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package as it would be installed elsewhere."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_wheel_carries_its_licence_and_links(wheel: zipfile.ZipFile) -> None:
    info = next(name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name)
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    licence = wheel.read(f"{info}/licenses/LICENSE").decode()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    links = dict(link.split(", ") for link in metadata.get_all("Project-URL", []))
    assert {"Repository", "Issues", "Changelog"} <= links.keys()
    pythons = {c.split(" :: ")[-1] for c in metadata.get_all("Classifier", []) if ":: 3." in c}
    assert pythons == {"3.11", "3.12", "3.13"}
    assert "pollux/py.typed" in wheel.namelist()


def test_wheel_takes_one_name_and_needs_what_the_gateway_does(wheel: zipfile.ZipFile) -> None:
    """Folders such as `cli` and `services` are for the checkout, not for everybody's packages."""
    (info,) = {name.split("/")[0] for name in wheel.namelist()} - {"pollux"}
    assert info.startswith("pollux-")
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert set(metadata.get_all("Provides-Extra", [])) == {"pandas", "polars"}
    needed = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert [
        text for text in needed if re.match("duckdb|dagster|dbt|fastapi|pixeltable", text)
    ] == []


def test_changelog_tells_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert headings[:2] == ["Unreleased", version]
    assert [h for h in headings if f"\n[{h}]: https://" not in changelog] == []
    minor = ".".join(version.split(".")[:2])
    assert f"today that is {minor}." in (ROOT / "SECURITY.md").read_text()


def test_windows_is_told_where_it_runs() -> None:
    code = "import sys; sys.platform = 'win32'; import pollux"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == (
        "ImportError: Pollux runs on Linux and macOS; on Windows, use WSL."
    )
