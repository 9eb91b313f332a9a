"""A service that is told to end says so first, and answers meanwhile."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import PROJECT_DIR
from tests.services.api.support import problem, wait_until
from tests.support.programs import free_port

pytestmark = pytest.mark.integration

# Of a scorer without a model.
SERVE = """
import sys
from pollux.runtime.settings import Settings
from services.scoring.server import run
run(Settings(data_dir=sys.argv[1], scoring_port=sys.argv[2], drain_seconds=60, api_keys=""))
"""


def test_it_answers_until_it_is_told_again(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path), str(port)], cwd=PROJECT_DIR
    )
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as kept:

            def kind() -> str:
                with suppress(httpx.TransportError):
                    return str(kept.get("/readyz").json()["type"]).rpartition(":")[2]
                return "nobody listens"

            wait_until(lambda: kind() == "no-model", seconds=60)
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: kind() == "ending", seconds=10)
            answer = kept.get("/readyz")
            problem(answer, 503, "ending")
            assert answer.headers["connection"] == "close"
            # Whoever comes anew is answered, too.
            assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    finally:
        process.kill()
        process.wait()
