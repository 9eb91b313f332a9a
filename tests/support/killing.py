"""Work in a process of its own, which a test kills at a named step.

The processes are forked from one that has imported what they need, so that each costs little.
"""

import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from pollux.runtime.settings import PROJECT_DIR
from pollux.runtime.steps import VARIABLE

_CALL = re.compile(r'\bstep\("([^"]+)"\)')
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["__main__", "orchestration.load.run", "tests.support.killing"])


def is_killed(at: str, work: Callable[..., Any], *args: Any, **more: Any) -> bool:
    """Does `work`; whether it was killed at the step, which it may not have reached."""
    process = started(at, work, *args, **more)
    process.join()
    assert process.exitcode in {0, -signal.SIGKILL}, process.exitcode
    return process.exitcode != 0


def started(at: str, work: Callable[..., Any], *args: Any, **more: Any) -> BaseProcess:
    """The process that does `work` and ends or stops at a step."""
    # With the test, whatever becomes of it.
    process = _CONTEXT.Process(target=_work, args=(at, work, args, more), daemon=True)
    process.start()
    return process


def wait_until_paused(process: BaseProcess) -> None:
    """Returns when the process has stopped at its step."""
    deadline = time.monotonic() + 60
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "it did not stop"
        time.sleep(0.01)


def times_killed(step: str, attempt: Callable[[str], bool]) -> Iterator[str]:
    """Yields the step's first time, its second …, as often as `attempt` says it was killed."""
    for place in count(1):
        at = f"{step}:{place}"
        if not attempt(at):
            return
        yield at


def steps_in(folders: Iterable[Path]) -> list[str]:
    """The steps that the code of some folders names, in order of the alphabet."""
    found = set()
    for folder in folders:
        for path in folder.rglob("*.py"):
            found.update(_CALL.findall(path.read_text(encoding="utf-8")))
    return sorted(found)


def load_steps() -> list[str]:
    """Those of the load."""
    return steps_in([PROJECT_DIR / "orchestration" / "load"])


def _work(at: str, work: Callable[..., Any], args: tuple[Any, ...], more: dict[str, Any]) -> None:
    os.environ[VARIABLE] = at
    work(*args, **more)
