"""Kills a function at a named step (`pollux.runtime.steps`), in a process of its own.

The processes are forked from a server that has the pipeline imported, so a kill costs
milliseconds.
"""

import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from pollux.runtime import steps
from tests.conftest import PROJECT_DIR

ROOMS = ("pollux", "orchestration", "services", "cli")
SECONDS = 300


def steps_of(prefix: str) -> list[str]:
    """Every step `<prefix>.…` in the code, so that new ones need not be listed."""
    named = re.compile(rf"step\(\s*\"({re.escape(prefix)}\.[\w.]+)\"")
    text = (path.read_text() for room in ROOMS for path in (PROJECT_DIR / room).rglob("*.py"))
    return sorted({name for content in text for name in named.findall(content)})


def start(
    step: str, function: Callable[..., object], *arguments: object, **named: object
) -> BaseProcess:
    """The process that runs the function with `POLLUX_STOP_AT=<step>` ("" runs it to its end)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["__main__", "orchestration.build", "orchestration.release.publish", "cli.supervisor"]
        + ["tests.support.kills"]
    )
    # A daemon ends with the test, even if the test fails.
    process = context.Process(target=_run, args=(step, function, arguments, named), daemon=True)
    process.start()
    return process


def seconds_of(function: Callable[..., object], *arguments: object, **named: object) -> float:
    """How long a function takes in a process of its own."""
    # The first process also waits for the server of all others.
    start("", int).join()
    started = time.monotonic()
    process = start("", function, *arguments, **named)
    process.join(SECONDS)
    assert process.exitcode == 0
    return time.monotonic() - started


def is_killed_at(
    step: str, function: Callable[..., object], *arguments: object, **named: object
) -> bool:
    """Runs the function; returns whether it was killed at `step`."""
    process = start(step, function, *arguments, **named)
    process.join(SECONDS)
    code = process.exitcode
    process.kill()
    assert code in {0, -signal.SIGKILL}, f"{function.__name__} ended with exit code {code}"
    return code != 0


def kill_at(step: str, function: Callable[..., object], *arguments: object) -> None:
    """Runs `function(*arguments)` until it reaches `step`, and kills it there.

    Raises `AssertionError` where it ends without reaching it.
    """
    assert is_killed_at(step, function, *arguments), f"{function.__name__} did not reach {step}"


def each_time(step: str, is_killed: Callable[[str], bool]) -> Iterator[str]:
    """Yields `<step>:1`, `<step>:2` …, as long as the kill happens."""
    for number in count(1):
        at = f"{step}:{number}"
        if not is_killed(at):
            return
        yield at


def wait_until_paused(process: BaseProcess) -> None:
    """Returns when a process has stopped at `pause:<step>`."""
    deadline = time.monotonic() + SECONDS
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "it did not stop"
        time.sleep(0.01)


def _run(
    step: str,
    function: Callable[..., object],
    arguments: tuple[object, ...],
    named: dict[str, Any],
) -> None:
    os.environ[steps.VARIABLE] = step
    function(*arguments, **named)
