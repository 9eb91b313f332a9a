"""Kills a function at a named step (`pollux.runtime.steps`), in a process of its own.

The processes are forked from a server that has the pipeline imported, so a kill costs
milliseconds.
"""

import multiprocessing
import os
import re
import signal
from collections.abc import Callable, Sequence

from pollux.runtime import steps
from tests.conftest import PROJECT_DIR

ROOMS = ("pollux", "orchestration", "services", "cli")
SECONDS = 300


def steps_of(prefix: str) -> list[str]:
    """Every step `<prefix>.…` that the code has: a new one is killed at without being listed."""
    named = re.compile(rf"step\(\s*\"({re.escape(prefix)}\.[\w.]+)\"")
    text = (path.read_text() for room in ROOMS for path in (PROJECT_DIR / room).rglob("*.py"))
    return sorted({name for content in text for name in named.findall(content)})


def kill_at(step: str, function: Callable[..., object], *arguments: object) -> None:
    """Runs `function(*arguments)` until it reaches `step`, and kills it there.

    Raises `AssertionError` where it ends without reaching it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["orchestration.build", "orchestration.release.publish"])
    process = context.Process(target=_run, args=(step, function, arguments))
    process.start()
    process.join(SECONDS)
    code = process.exitcode
    process.kill()
    assert code == -signal.SIGKILL, f"{function.__name__} did not reach {step}: exit code {code}"


def _run(step: str, function: Callable[..., object], arguments: Sequence[object]) -> None:
    os.environ[steps.VARIABLE] = step
    function(*arguments)
