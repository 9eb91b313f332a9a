"""The image: built by `make image` on a Debian that is made here, then asked for a household.

No registry is asked for a base and no engine is needed: Buildah runs a container in a chroot.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from pollux.runtime.postgres import EmbeddedPostgres
from tests.conftest import PROJECT_DIR
from tests.support.installations import Prepared
from tests.support.programs import free_port, is_ok, running

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("buildah", "mmdebstrap"))),
        reason="needs root, buildah and mmdebstrap",
    ),
]

# The base is made once on a machine: Debian changes more slowly than Pollux.
BASE, IMAGE = "localhost/pollux-test-base", "localhost/pollux:latest"
PACKAGES = "python3,python3-venv,ca-certificates,libgomp1"
USER = 10001
KEY = "a key of this test"
# Of this machine, if it has them: an authority of its own, and what uv has fetched already.
CERTIFICATES = Path("/etc/ssl/certs")
READY_SECONDS = 60
ENVIRONMENT = os.environ | {"BUILDAH_ISOLATION": "chroot"}


def run(*command: object) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=PROJECT_DIR,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the image says of itself."""
    if not run("buildah", "images", "--quiet", "--filter", f"reference={BASE}"):
        system = tmp_path_factory.mktemp("base") / "base.tar"
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "stable", system)
        container = run("buildah", "from", "scratch")
        run("buildah", "add", "--quiet", container, system, "/")
        run("buildah", "commit", "--quiet", "--rm", container, BASE)
    fetched = run(Path(sys.executable).with_name("uv"), "cache", "dir")
    options = [
        "--layers --pull-never",
        f"--build-arg BASE={BASE}",
        f"--volume {CERTIFICATES}:{CERTIFICATES}:ro --volume {fetched}:/root/.cache/uv",
        *(f"--build-arg {one}" for one in ("PIP_CERT", "SSL_CERT_FILE") if one in os.environ),
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


def test_the_api_answers_from_the_image(
    container: str, prepared: Prepared, short_tmp: Path, tmp_path: Path
) -> None:
    settings = prepared.copy(prepared.household(), short_tmp / "image")
    cluster = settings.data_dir / "postgres" / "cluster"
    cluster.parent.mkdir()
    shutil.move(EmbeddedPostgres(settings.data_dir).cluster, cluster)
    run("chown", "-R", f"{USER}:{USER}", settings.data_dir)
    port = free_port()
    given = {
        "POLLUX_API_PORT": port,
        "POLLUX_API_KEYS": hashlib.sha256(KEY.encode()).hexdigest(),
    }
    environment = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
    command = ["buildah", "run", *environment, "--volume", f"{settings.data_dir}:/data", container]
    url = f"http://127.0.0.1:{port}"
    with (
        running(
            [*command, "--", "pollux", "serve", "api"],
            lambda: is_ok(f"{url}/readyz"),
            log=tmp_path / "log",
            seconds=READY_SECONDS,
            env=ENVIRONMENT,
        ),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        assert client.get("/v1/households/1").status_code == HTTPStatus.UNAUTHORIZED
        answer = client.get("/v1/households/1", headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == HTTPStatus.OK
        assert answer.json()["household_key"] == 1
