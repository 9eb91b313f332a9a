"""docs/deploy.md from an empty machine: its commands, as they stand, end in a served household.

What a test machine cannot have is given by its environment: the repository is at another place
(git's `insteadOf`), and `systemctl` notes what it was asked. Units are then started as systemd
would (`tests.deploy.one_machine`).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT_DIR
from tests.support import machines
from tests.support.containers import isolated
from tests.support.examples import read_section
from tests.support.installations import Prepared

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(not machines.can_be_made(), reason=machines.REASON),
]

PAGE = "docs/deploy.md"
ADDRESS = "https://github.com/pollux-analytics/pollux"
ENVIRONMENT = {
    "PATH": machines.PATH,
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "url./repository.insteadOf",
    "GIT_CONFIG_VALUE_0": ADDRESS,
}
SYSTEMCTL = 'systemctl() { echo "$*" >>/run/asked; }\n'
# No package may start what it brings: systemd does not run there.
POLICY = "#!/bin/sh\nexit 101\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is at the repository's address: the files that are here, as one commit."""
    folder = tmp_path_factory.mktemp("repository")
    machines.run("git", "init", "--quiet", "--bare", folder)
    settings = ["core.bare=false", "user.name=test", "user.email=test", "commit.gpgSign=false"]
    git = ["git", f"--git-dir={folder}", f"--work-tree={PROJECT_DIR}"]
    git += [word for one in settings for word in ("-c", one)]
    machines.run(*git, "add", "--all")
    machines.run(*git, "commit", "--quiet", "--message=all that is here")
    return folder


@pytest.fixture
def root() -> Iterator[Path]:
    """A Debian on which nobody did anything yet."""
    with machines.machine(machines.make_debian("debian", "ca-certificates")) as root:
        shutil.copy("/etc/resolv.conf", root / "etc")
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text(POLICY)
        policy.chmod(0o755)
        yield root


def run(root: Path, repository: Path, script: str) -> str:
    """What a script of the page prints; its processes end with it."""
    binds = {"/repository": repository}
    fetched = machines.run(Path(sys.executable).with_name("uv"), "cache", "dir")
    if Path(fetched).is_dir():
        binds["/root/.cache/uv"] = Path(fetched)
    environment = dict(ENVIRONMENT)
    for name in machines.CERTIFICATES:
        if name in os.environ:
            environment[name] = f"/mnt/{name}"
            binds[f"/mnt/{name}"] = Path(os.environ[name])
    alone = ["unshare", "--pid", "--fork", "--kill-child"]
    entered = machines.inside(
        root, ["bash", "-ec", script], environment=environment, binds=binds, folder="/root"
    )
    return machines.run(*alone, *entered)


def test_one_machine(root: Path, repository: Path) -> None:
    first = read_section(PAGE, "One machine")[0]
    run(root, repository, SYSTEMCTL + first.text)
    asked = (root / "run" / "asked").read_text().splitlines()
    assert asked == ["daemon-reload", "enable --now pollux.target"]
    done = subprocess.run(
        isolated("tests.deploy.one_machine", root),
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["answer"]["household_key"] == 1
    names = ("api", "dagster", "dashboard", "events", "live", "scorer")
    assert found["services"] == [f"pollux-{name}.service" for name in names]
    (backup,) = (root / "var/backups/pollux").iterdir()
    assert (backup / "backup.json").is_file()


def test_only_the_gateway(root: Path, repository: Path, prepared: Prepared) -> None:
    """The package, from the repository, reads a release that was copied to another machine."""
    shutil.copytree(prepared.household().releases_dir, root / "srv/pollux/releases", symlinks=True)
    (block,) = read_section(PAGE, "Only the gateway")
    printed = run(root, repository, block.text)
    household = printed.splitlines()[-1]
    assert "'household_key': 1," in household
