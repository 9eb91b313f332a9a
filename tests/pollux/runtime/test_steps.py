"""The steps at which tests stop a process."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from pollux.runtime.steps import VARIABLE

PROGRAM = """
from pollux.runtime.steps import step
for time in range(3):
    step("one.done")
    print("after one", flush=True)
    step("two.done")
    print("after two", flush=True)
"""


def start(asked: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if asked is not None:
        environment[VARIABLE] = asked
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("asked", [None, "", "three.done", "one.done:4"])
def test_a_step_that_nobody_asked_for_does_nothing(asked):
    process = start(asked)
    assert process.communicate(timeout=120)[0].count("after") == 6
    assert process.returncode == 0


@pytest.mark.parametrize(("asked", "lines"), [("one.done", 0), ("two.done", 1), ("one.done:3", 4)])
def test_a_process_is_killed_at_its_step(asked, lines):
    process = start(asked)
    assert process.communicate(timeout=120)[0].count("after") == lines
    assert process.returncode == -signal.SIGKILL


def test_a_paused_process_goes_on_when_told_to():
    process = start("pause:two.done:2")
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=120)[0].count("after") == 6
    assert process.returncode == 0
