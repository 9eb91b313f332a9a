"""Recorded processes: found again by number and start, never started unrecorded, always ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pollux.runtime import processes
from pollux.runtime.processes import end, find, identity
from pollux.runtime.steps import VARIABLE

SLEEPER = [sys.executable, "-c", "import time; time.sleep(300)"]
# Ignores being told to end, and has a child that does, too.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""
STARTER = """
import sys
from pathlib import Path
from pollux.runtime.processes import identity, start, write_record
folder = Path(sys.argv[1])
command = [sys.executable, "-c", f"open({str(folder / 'ran')!r}, 'w')"]
with (folder / "log").open("ab") as log:
    start(command, lambda one: write_record(folder / "record", identity(one)), log=log).wait()
"""


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    started = subprocess.Popen(SLEEPER)
    yield psutil.Process(started.pid)
    started.kill()
    started.wait()


def test_a_process_is_found_by_what_was_recorded(sleeper):
    recorded = json.loads(json.dumps(identity(sleeper)))
    assert find(recorded) == sleeper
    sleeper.kill()
    # Not asked for by its parent yet, it is a zombie: it has ended.
    assert processes.wait_for_end([sleeper], 10)
    assert find(recorded) is None


def test_another_process_of_the_same_number_is_not_taken_for_it(sleeper):
    number, started = identity(sleeper)
    assert find([number, f"{started}0"]) is None
    assert find([number, "an older boot"]) is None


@pytest.mark.parametrize("recorded", [None, [], {}, "text", [1], ["x", "y"], [-5, "1"]])
def test_a_record_that_is_none_names_nobody(recorded):
    assert find(recorded) is None


@pytest.mark.parametrize("at", ["processes.forked", "processes.recorded"])
def test_a_starter_killed_half_way_leaves_nothing_running(tmp_path: Path, at: str):
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        env=os.environ | {VARIABLE: at},
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    if at == "processes.recorded":
        deadline = time.monotonic() + 10
        while find(json.loads((tmp_path / "record").read_text())) is not None:
            assert time.monotonic() < deadline, "the program waits on"
            time.sleep(0.01)
    assert not (tmp_path / "ran").exists()


def test_a_starter_that_lives_starts_its_program(tmp_path: Path):
    subprocess.run([sys.executable, "-c", STARTER, str(tmp_path)], check=True, timeout=60)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("is_stopped", [False, True])
def test_what_does_not_end_is_killed_with_its_children(is_stopped: bool):
    started = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    child = psutil.Process(int(started.stdout.readline()))
    if is_stopped:
        started.send_signal(signal.SIGSTOP)
    end(psutil.Process(started.pid), seconds=0.2)
    assert started.wait(timeout=10) == -signal.SIGKILL
    assert processes.wait_for_end([child], 10)
