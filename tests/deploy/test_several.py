"""Two APIs, two scorers and three workers behind one address, as compose.yaml has them."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from pollux.propensity import models_dir
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR
from tests.support.containers import isolated, missing
from tests.support.installations import Prepared

pytestmark = [
    pytest.mark.endurance,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(missing()), reason="needs root, Caddy, Mosquitto and psql"
    ),
]


def test_nobody_notices_who_is_killed_ended_or_updated(prepared: Prepared, short_tmp: Path) -> None:
    settings = prepared.copy(prepared.everything(), short_tmp / "several", released=False)
    trained = models_dir(Settings(data_dir=prepared.trained()))
    shutil.copytree(trained, models_dir(settings), symlinks=True)
    folder = Path(tempfile.mkdtemp(dir=short_tmp))
    done = subprocess.run(
        isolated("tests.deploy.several", settings.data_dir, folder),
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    asked = json.loads(done.stdout.splitlines()[-1])
    print(asked)
    assert asked["reads"].keys() == {"200", "304"}
    assert asked["releases"].keys() == {"1", "2"}
    assert asked["sent again"]["till"] < asked["offers"]["till"] / 10
