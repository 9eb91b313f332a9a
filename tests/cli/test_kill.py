"""A command killed at random moments: none of its services runs unrecorded, the next ends them."""

import time
from pathlib import Path

import psutil
import pytest

from cli.processes import UP, Running
from cli.supervisor import Service, Supervisor
from pollux.runtime.settings import Settings
from tests.support.kills import seconds_of, start

pytestmark = pytest.mark.endurance

SECONDS = 20


def run_services(settings: Settings, names: str, lasting: str) -> None:
    """Keeps services running as `pollux up` does."""
    running = Running(settings)
    with running.only_one(UP):
        supervisor = Supervisor(settings, running, UP)
        with supervisor.stopped_at_the_end():
            for name in names:
                log = settings.logs_dir / f"{name}.log"
                supervisor.add(Service(name, ["sleep", lasting], log))
            supervisor.watch()


def running_now(lasting: str) -> set[int]:
    found = psutil.process_iter(["cmdline"])
    return {process.pid for process in found if lasting in (process.info["cmdline"] or [])}


def wait_until_recorded(settings: Settings, lasting: str) -> None:
    """Returns when every service that runs is on record; one that had not been told ends."""
    deadline = time.monotonic() + SECONDS
    while True:
        recorded = {process.pid for process in Running(settings).started().values()}
        unknown = running_now(lasting) - recorded
        if not unknown:
            return
        assert time.monotonic() < deadline, f"{len(unknown)} services run unrecorded"
        time.sleep(0.01)


def test_command_killed_at_random_moments(tmp_path: Path, kill_loop) -> None:
    loop = kill_loop("supervisor")
    seconds_of(int)
    settings = Settings(
        data_dir=tmp_path / "data", database_url="postgresql://nobody@127.0.0.1:1/x"
    )
    # By its argument a service is told from any other process.
    lasting = f"600.{loop.rng.randrange(10**9):09}"
    left = []
    try:
        for number in loop.tries():
            names = "abcdef"[: loop.rng.randrange(1, 7)]
            command = start("", run_services, settings, names, lasting)
            time.sleep(loop.rng.uniform(0, 0.5))
            loop.kill(command)
            wait_until_recorded(settings, lasting)
            left.append(len(running_now(lasting)))
            if number % 5 == 0:
                Running(settings).end_all()
                assert running_now(lasting) == set()
                assert not (settings.data_dir / "up.json").exists()
        print(f"services left by each: {left}")
        with Running(settings).only_one(UP):
            assert running_now(lasting) == set()
    finally:
        for pid in running_now(lasting):
            psutil.Process(pid).kill()
