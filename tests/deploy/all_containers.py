"""Every container of compose.yaml in the image, and the commands of docs/deploy.md that go with it.

Run by `test_image` in namespaces of its own: `python -m tests.deploy.all_containers IMAGE FOLDER`.
PostgreSQL, Mosquitto and Caddy run from this machine, with the files of `deploy/`. Prints what the
proxy answered, as JSON.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import PROJECT_DIR
from tests.support.containers import DAGSTER_LOGIN, KEY, SERVICES, Compose, Image
from tests.support.examples import read_section

# The repository is this one.
CHECKOUT = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": f"url.{PROJECT_DIR}.insteadOf",
    "GIT_CONFIG_VALUE_0": "https://github.com/pollux-analytics/pollux",
}
SCALE = {name: one["deploy"].get("replicas", 1) for name, one in SERVICES.items()}
# Docker, as far as the page needs it: what to start is noted, and started afterwards.
DOCKER = """
docker() {{
    case "$*" in
        "compose up --build --detach") touch {asked};;
        "compose exec dagster "*) shift 3; {exec} "$@";;
        "compose exec -T dagster "*) shift 4; {exec} "$@";;
        *) echo "docker $*: this test does not know it" >&2; return 1;;
    esac
}}
"""


def run(image: Image, folder: Path) -> dict[str, Any]:
    volumes = {name: folder / name for name in ("data", "backups")}
    for volume in volumes.values():
        volume.mkdir()
        os.chown(volume, image.user, image.user)
    compose = Compose(volumes, folder, SCALE, image)
    (dagster,) = compose.containers["dagster"]
    asked = folder / "is-asked"

    def shell(script: str, *, execute: str = "false") -> str:
        done = subprocess.run(
            ["bash", "-ec", DOCKER.format(exec=execute, asked=asked) + script],
            cwd=folder,
            env=os.environ | CHECKOUT | {"key": KEY},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{compose.said()}"
        return done.stdout

    up, *data, ask = read_section("docs/deploy.md", "Containers")
    (back_up,) = read_section("docs/deploy.md", "Backup")
    shell(up.text)
    assert asked.exists()
    assert (folder / "pollux" / ".env").stat().st_mode & 0o777 == 0o600
    with compose.network():
        for one in compose.all():
            one.start()
        for one in compose.all():
            one.wait_until_up()
        execute = shlex.join(dagster.executing())
        for block in data:
            shell(block.text, execute=execute)
        household = json.loads(shell(ask.text))
        shell(back_up.text, execute=execute)
        with httpx.Client(verify=False, trust_env=False) as client:
            dagster_page = "https://localhost:3443/server_info"
            return {
                "household": household,
                "without a key": client.get("https://localhost/api/v1/households/1").status_code,
                "dashboard": client.get("https://localhost/").status_code,
                "Dagster": [
                    client.get(dagster_page, auth=login).status_code
                    for login in (None, DAGSTER_LOGIN)
                ],
                "backups": [path.name for path in volumes["backups"].iterdir()],
            }


if __name__ == "__main__":
    description = json.loads(sys.argv[1])
    root = Path(description.pop("root"))
    print(json.dumps(run(Image(root=root, **description), Path(sys.argv[2]))))
