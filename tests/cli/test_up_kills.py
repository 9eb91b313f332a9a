"""`pollux up` killed, and PostgreSQL while it starts Dagster: the next start has all up again."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.dagster import CODE_SERVER, DAEMON, WEB_PAGE
from pollux.runtime.postgres import EmbeddedPostgres
from pollux.runtime.processes import wait_for_end
from tests.cli.test_up import READY_SECONDS, Installation, wait_for
from tests.conftest import PROJECT_DIR
from tests.support.installations import Prepared
from tests.support.kills import steps_of

pytestmark = pytest.mark.endurance

# The daemon: broker, scorer, event service, live rows, API, dashboard, page and code server started
# before. The page has just found the code server.
STARTED = "processes.started:9"
HEALTH = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"
# How long a program is left alone without a database, unless it ends before.
ALONE_SECONDS = 15


@pytest.fixture(scope="module")
def installation(
    prepared: Prepared, short_tmp: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    data_dir = short_tmp / "upkills"
    prepared.copy(prepared.everything(), data_dir)
    installed = Installation(data_dir, tmp_path_factory.mktemp("up") / "output", is_default=False)
    yield installed
    if installed.process is not None and installed.process.poll() is None:
        installed.process.send_signal(signal.SIGCONT)
        installed.process.kill()
    installed.run("down")


def healthy_daemons(installation: Installation) -> set[str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{installation.dagster_port}/graphql",
        json.dumps({"query": HEALTH}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (OSError, KeyError, TypeError):
        return set()
    return {daemon["daemonType"] for daemon in found if daemon["healthy"]}


def test_killed_up_leaves_nothing_that_the_next_or_down_does_not_end(
    installation: Installation,
) -> None:
    installation.up()
    wait_for(lambda: {CODE_SERVER, DAEMON, WEB_PAGE} <= set(installation.started()), 120)
    left = installation.started()
    os.kill(installation.process.pid, signal.SIGKILL)
    installation.process.wait()
    left.pop("pollux up")
    assert set(installation.started()) == set(left)
    installation.up()
    told = installation.output.read_text()
    assert f"An earlier Pollux left running, now stopped: {', '.join(left)}." in told
    assert wait_for_end(left.values(), 1)
    left = installation.started()
    os.kill(installation.process.pid, signal.SIGKILL)
    installation.process.wait()
    assert "broker, scorer, events, live, API" in installation.run("down").stdout
    assert wait_for_end(left.values(), 1)
    assert installation.processes() == []


@pytest.mark.parametrize("at", [*steps_of("dagster"), STARTED])
def test_postgres_killed_while_dagster_starts(installation: Installation, at: str) -> None:
    database = EmbeddedPostgres(installation.data_dir)
    with installation.output.open("wb") as output:
        process = subprocess.Popen(
            installation.command("up"),
            env=installation.environment | {"POLLUX_STOP_AT": f"pause:{at}"},
            cwd=PROJECT_DIR,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    installation.process = process
    # As long as `up` is stopped nobody starts the database again.
    over = {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    wait_for(lambda: psutil.Process(process.pid).status() in over, READY_SECONDS)
    assert process.poll() is None, installation.output.read_text()
    assert database.is_running()
    database.kill()
    if at == STARTED:
        alone = installation.started()
        wait_for_end([alone[DAEMON], alone[WEB_PAGE]], ALONE_SECONDS)
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: "Ctrl-C stops it" in installation.output.read_text(), READY_SECONDS)
    wait_for(database.is_running)
    wait_for(lambda: {CODE_SERVER, DAEMON, WEB_PAGE} <= set(installation.started()), 120)
    wait_for(lambda: {"SENSOR", "SCHEDULER"} <= healthy_daemons(installation), 120)
    wait_for(lambda: installation.answers("/readyz"))
    wait_for(lambda: installation.answers("/readyz", installation.events_port))
    assert process.poll() is None
    told = installation.interrupt()
    assert "Traceback" not in told
    assert "given up" not in told
    assert installation.processes() == []
