"""The image: built by `make image` on a Debian that is made here, then run as compose.yaml has it.

No registry is asked for a base and no engine is needed: a container is a chroot.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT_DIR
from tests.support.containers import isolated, missing
from tests.support.machines import (
    CERTIFICATES,
    REASON,
    can_be_made,
    machine,
    make_debian,
    run,
)

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(not can_be_made(), reason=REASON),
]

IMAGE = "localhost/pollux:latest"
PACKAGES = "python3,python3-venv,ca-certificates,libgomp1"
USER = 10001
# Of this machine: its authorities, and what uv has fetched already.
AUTHORITIES = Path("/etc/ssl/certs")


@pytest.fixture(scope="module")
def image() -> dict[str, Any]:
    """What the image says of itself."""
    base = make_debian("base", PACKAGES)
    fetched = run(Path(sys.executable).with_name("uv"), "cache", "dir")
    options = [
        "--layers --pull-never",
        f"--build-arg BASE={base}",
        f"--volume {AUTHORITIES}:{AUTHORITIES}:ro --volume {fetched}:/root/.cache/uv",
        *(f"--build-arg {one}" for one in CERTIFICATES if one in os.environ),
    ]
    run("make", "image", "BUILDER=buildah", f"BUILD_OPTIONS={' '.join(options)}")
    said: dict[str, Any] = json.loads(run("buildah", "inspect", "--type", "image", IMAGE))
    config: dict[str, Any] = said["Docker"]["config"]
    return config


@pytest.fixture
def container(image: dict[str, Any]) -> Iterator[str]:
    name = run("buildah", "from", "--pull-never", IMAGE)
    yield name
    run("buildah", "rm", name)


def test_image_says_how_it_runs(image: dict[str, Any]) -> None:
    assert image["User"] == f"{USER}:{USER}"
    assert (image["Entrypoint"], image["Cmd"]) == (["pollux"], ["serve", "api"])
    assert image["Healthcheck"]["Test"] == ["CMD", "python", "-m", "cli.healthy"]
    assert image["Volumes"].keys() == {"/data", "/backups"}
    assert "PYTHONDONTWRITEBYTECODE=1" in image["Env"]
    assert not [one for one in image["Env"] if one.startswith(("PIP_", "UV_", "SSL_"))]
    labels = {name.rpartition(".")[2]: text for name, text in image["Labels"].items()}
    assert labels["licenses"] == "Apache-2.0"
    assert f'\nversion = "{labels["version"]}"\n' in (PROJECT_DIR / "pyproject.toml").read_text()


def test_only_what_runs_is_in_it_and_nothing_of_it_can_be_written(container: str) -> None:
    def find(*expression: str) -> list[str]:
        return run("buildah", "run", container, "--", "find", *expression).splitlines()

    here = {Path(path).name for path in find("/opt/pollux", "-mindepth", "1", "-maxdepth", "1")}
    assert not here & {".git", ".env", "data", "docs", "benchmarks"}
    assert find("/opt/pollux/tests", "-name", "*.py") == []
    # Its bytecode is there: it is not compiled at every start.
    assert len(find("/opt/pollux/services", "-name", "app.cpython-*.pyc")) > 1
    writable = ("-writable", "-not", "-type", "l")
    assert find("/opt", "/usr", *writable) == []
    packages = find("/opt/pollux/.venv/lib", "-maxdepth", "3", "-name", "*.dist-info")
    names = {Path(path).name.partition("-")[0] for path in packages}
    assert {"fastapi", "dagster", "dbt_core", "streamlit", "lightgbm"} <= names
    assert not names & {"pytest", "mypy", "ruff", "mkdocs", "uv"}


@pytest.mark.skipif(bool(missing()), reason="needs Caddy, Mosquitto and psql")
def test_commands_of_the_page_end_in_a_served_household(
    image: dict[str, Any], tmp_path: Path
) -> None:
    """All that compose.yaml starts, as its own user, where only volumes can be written."""
    with machine(IMAGE) as root:
        described = {
            "root": str(root),
            "entrypoint": image["Entrypoint"],
            "environment": dict(word.split("=", 1) for word in image["Env"]),
            "user": USER,
            "folder": image["WorkingDir"],
        }
        done = subprocess.run(
            isolated("tests.deploy.all_containers", json.dumps(described), tmp_path),
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("household")["household_key"] == 1
    assert len(found.pop("backups")) == 1
    assert found == {"without a key": 401, "dashboard": 200, "Dagster": [401, 200]}
