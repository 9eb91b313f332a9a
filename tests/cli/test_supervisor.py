"""The supervisor of services: restarts, back-off, giving up, and what a killed one leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli import supervisor as module
from cli.processes import UP, Running, UpError
from cli.serving import API, EVENTS, SCORER, services
from cli.supervisor import Service, Supervisor, rotate_logs
from pollux.runtime.processes import STOP_SECONDS, wait_for_end
from pollux.runtime.settings import Settings
from tests.conftest import PROJECT_DIR

LASTING = "import time; print('up', flush=True); time.sleep(300)"
FAILING = "import sys; sys.exit('no such planet')"
# A command as `pollux up` is one, with two services that last.
COMMAND = """
import sys, time
from pathlib import Path
from cli.processes import UP, Running
from cli.supervisor import Service, Supervisor
from pollux.runtime.settings import Settings
settings = Settings()
running = Running(settings)
program = [sys.executable, "-c", "import time; time.sleep(300)"]
with running.only_one(UP):
    supervisor = Supervisor(settings, running, UP)
    with supervisor.stopped_at_the_end():
        supervisor.add(*(Service(name, program, settings.data_dir / name) for name in "ab"))
        print("up", flush=True)
        supervisor.watch()
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(module, "BACK_OFF_SECONDS", 0.01)
    # A server of one's own is not started again by a supervisor.
    return Settings(data_dir=tmp_path / "data", database_url="postgresql://nobody@127.0.0.1:1/x")


def service(settings: Settings, name: str, program: str, **more: object) -> Service:
    log = settings.logs_dir / f"{name}.log"
    return Service(name, [sys.executable, "-c", program], log, **more)


def look_until(supervisor: Supervisor, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        supervisor.look()
        time.sleep(0.01)


def test_one_that_was_killed_is_started_again_and_the_others_go_on(settings, capfd):
    running = Running(settings)
    with running.only_one(UP):
        supervisor = Supervisor(settings, running, UP)
        with supervisor.stopped_at_the_end():
            supervisor.add(*(service(settings, name, LASTING) for name in ("API", "broker")))
            before = running.started()
            before["API"].kill()
            look_until(
                supervisor,
                lambda: running.started().get("API", before["API"]).pid != before["API"].pid,
            )
            after = running.started()
            assert after["broker"] == before["broker"]
        assert running.started() == {UP: psutil.Process()}
    assert "API ended with code -9; it is started again in 0.01 s." in capfd.readouterr().err
    assert not (settings.data_dir / "up.json").exists()


def test_one_that_ends_again_and_again_is_given_up_and_the_exit_says_so(settings, capfd):
    def go() -> None:
        running = Running(settings)
        supervisor = Supervisor(settings, running, UP)
        with running.only_one(UP), supervisor.stopped_at_the_end():
            supervisor.add(service(settings, "scorer", FAILING), service(settings, "API", LASTING))
            look_until(supervisor, lambda: supervisor.given_up == ["scorer"])
            assert supervisor.wait("scorer") == "given up"
            assert supervisor.wait("API") is None
            assert "API" in running.started()

    with pytest.raises(UpError, match="Given up: scorer") as ended:
        go()
    assert ended.value.exit_code == 1
    told = capfd.readouterr().err
    assert "scorer ended with code 1, the 5th time within a minute, and is given up." in told
    assert "no such planet" in told
    assert told.count("started again") == 4
    assert (settings.logs_dir / "scorer.log").read_text().count("no such planet") == 5


def test_one_that_hangs_is_started_again(settings, capfd, monkeypatch):
    monkeypatch.setattr(module, "HANG_SECONDS", 0.05)
    running = Running(settings)
    first: list[psutil.Process] = []

    def hangs() -> bool:
        return running.started().get("daemon") in first

    with running.only_one(UP):
        supervisor = Supervisor(settings, running, UP)
        with supervisor.stopped_at_the_end():
            # A stopped process does not end when it is told to.
            supervisor.add(service(settings, "daemon", LASTING, hangs=hangs))
            first.append(running.started()["daemon"])
            first[0].suspend()
            look_until(supervisor, lambda: not first[0].is_running())
            look_until(supervisor, lambda: "daemon" in running.started())
            after = running.started()["daemon"]
            time.sleep(0.2)
            supervisor.look()
            assert running.started()["daemon"] == after
    told = capfd.readouterr().err
    assert told.count("daemon has done nothing for 0.05 s; it is ended.") == 1
    assert "daemon ended with code -9" in told


def test_watching_ends_when_nothing_is_left(settings):
    def go() -> None:
        running = Running(settings)
        supervisor = Supervisor(settings, running, UP)
        with running.only_one(UP), supervisor.stopped_at_the_end():
            supervisor.add(*(service(settings, name, FAILING) for name in "ab"))
            supervisor.watch()

    with pytest.raises(UpError, match="Given up: a, b"):
        go()


def test_what_another_needs_is_ready_before_it_starts(settings):
    running = Running(settings)
    ready = settings.data_dir / "ready"
    with running.only_one(UP):
        supervisor = Supervisor(settings, running, UP)
        with supervisor.stopped_at_the_end():
            first = service(settings, "first", LASTING, is_ready=ready.exists)
            supervisor.add(service(settings, "second", LASTING, needs=["first"]), first)
            supervisor.look()
            assert list(running.started()) == [UP, "first"]
            ready.touch()
            look_until(supervisor, lambda: "second" in running.started())


def test_a_preparation_that_fails_is_tried_again(settings, capfd):
    attempts = []

    def prepare() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise UpError("the database is away\nand more")

    running = Running(settings)
    with running.only_one(UP):
        supervisor = Supervisor(settings, running, UP)
        with supervisor.stopped_at_the_end():
            supervisor.add(service(settings, "code", LASTING, prepare=prepare))
            look_until(supervisor, lambda: "code" in running.started())
    assert "code cannot be started (the database is away); it is started" in capfd.readouterr().err


def test_clearing_up_comes_after_the_end(settings):
    running, seen = Running(settings), []
    with running.only_one(UP):
        supervisor = Supervisor(settings, running, UP)
        with supervisor.stopped_at_the_end():
            supervisor.add(
                service(
                    settings, "daemon", LASTING, clear_up=lambda: seen.append(running.started())
                )
            )
    assert seen == [{UP: psutil.Process()}]


def start_command(settings: Settings) -> subprocess.Popen[str]:
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        env=os.environ
        | {"POLLUX_DATA_DIR": str(settings.data_dir), "POLLUX_DATABASE_URL": "postgresql://x@y/z"},
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "up\n"
    return command


def test_what_a_killed_one_left_is_stopped_by_the_next(settings, capfd):
    command = start_command(settings)
    command.kill()
    command.wait()
    running = Running(settings)
    left = running.started()
    assert sorted(left) == ["a", "b"]
    with running.only_one(UP):
        assert list(running.started()) == [UP]
        assert wait_for_end(left.values(), 1)
    assert "An earlier Pollux left running, now stopped: a, b." in capfd.readouterr().err
    assert running.end_all() == []


def test_two_killed_one_after_the_other_leave_nothing_behind(settings):
    first = start_command(settings)
    first.kill()
    first.wait()
    left = Running(settings).started()
    second = start_command(settings)
    assert wait_for_end(left.values(), 1)
    left = Running(settings).started()
    second.kill()
    second.wait()
    assert Running(settings).end_all() == ["a", "b"]
    assert wait_for_end(left.values(), 1)
    assert not (settings.data_dir / "up.json").exists()


def test_the_record_stays_as_long_as_something_of_it_runs(settings):
    other = subprocess.Popen([sys.executable, "-c", LASTING])
    try:
        running = Running(settings)
        with running.only_one(UP):
            running.note(UP, {"API": psutil.Process(other.pid)})
        assert list(running.started()) == [UP, "API"]
    finally:
        other.kill()
        other.wait()


def test_a_second_one_is_refused_with_the_number_of_the_first(settings):
    command = start_command(settings)
    try:
        with pytest.raises(UpError) as refused, Running(settings).only_one(UP):
            pass
        assert str(refused.value) == (
            f"Pollux is up already for {settings.data_dir} (process {command.pid}). pollux down "
            "stops it."
        )
        assert sorted(Running(settings).started()) == ["a", "b", UP]
        assert Running(settings).end_all() == [UP, "a", "b"]
        # Told to end, it ended what it had started.
        assert command.wait(timeout=30) == -signal.SIGTERM
    finally:
        command.kill()


def test_a_record_of_other_processes_ends_none_of_them(settings):
    other = subprocess.Popen([sys.executable, "-c", LASTING])
    try:
        settings.data_dir.mkdir()
        record = settings.data_dir / "up.json"
        record.write_text(json.dumps({"broker": [other.pid, "another boot:123"]}))
        assert Running(settings).end_all() == []
        assert other.poll() is None
        record.write_text("{")
        assert Running(settings).end_all() == []
    finally:
        other.kill()
        other.wait()


def test_a_log_that_has_grown_is_moved_and_written_on(tmp_path):
    log = tmp_path / "events.log"
    writer = subprocess.Popen(
        [sys.executable, "-c", "import sys\nfor line in sys.stdin: print(line * 100, flush=True)"],
        stdin=subprocess.PIPE,
        stdout=log.open("ab"),
        text=True,
    )
    assert writer.stdin is not None
    writer.stdin.write("first\n")
    writer.stdin.flush()
    while not log.exists() or log.stat().st_size < 601:
        time.sleep(0.01)
    small = tmp_path / "api.log"
    small.write_text("little")
    rotate_logs(tmp_path, days=1, limit=300)
    writer.stdin.write("second\n")
    writer.stdin.close()
    writer.wait()
    assert (tmp_path / "events.log.1").read_text() == ("first\n" * 100 + "\n")[-300:]
    assert log.read_text() == "second\n" * 100 + "\n"
    assert small.read_text() == "little"
    assert (tmp_path / "api.log.1").read_text() == ""


def test_no_line_of_a_log_is_older_than_the_days(tmp_path):
    log, earlier = tmp_path / "alerts.log", tmp_path / "alerts.log.1"

    def pass_days(days: float) -> None:
        before = earlier.stat().st_mtime - days * 86_400
        os.utime(earlier, (before, before))

    log.write_text("first\n")
    rotate_logs(tmp_path, days=10)
    pass_days(4.9)
    rotate_logs(tmp_path, days=10)
    assert log.read_text() == "first\n"
    # Written just before it is moved, so a line may be half as old as the next that goes.
    pass_days(0.2)
    rotate_logs(tmp_path, days=10)
    assert (log.read_text(), earlier.read_text()) == ("", "first\n")
    log.write_text("second\n")
    pass_days(4.9)
    rotate_logs(tmp_path, days=10)
    assert earlier.read_text() == "first\n"
    pass_days(0.2)
    rotate_logs(tmp_path, days=10)
    assert (log.read_text(), earlier.read_text()) == ("", "second\n")
    pass_days(5.1)
    rotate_logs(tmp_path, days=10)
    assert (log.read_text(), earlier.read_text()) == ("", "")


def test_a_service_that_drains_is_not_killed_meanwhile(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", drain_seconds=30)
    patience = {one.name: one.stop_seconds for one in services(settings)}
    assert {patience[name] for name in (API, SCORER, EVENTS)} == {STOP_SECONDS + 30}
