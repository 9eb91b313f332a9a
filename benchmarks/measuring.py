"""What benchmarks share: rows of figures, how quiet the machine was, memory of a process tree."""

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

Figures = list[dict[str, Any]]

SAMPLE_SECONDS = 0.1


class Ran(NamedTuple):
    """How a command ran: seconds, the most memory its process tree held at once, MiB."""

    seconds: float
    peak_mib: float
    output: str


class Quiet:
    """How quiet the machine was from here on: what ran before, and what other machines took."""

    def __init__(self) -> None:
        self._load = psutil.getloadavg()[0]
        self._before = psutil.cpu_times()

    def stolen_percent(self) -> float:
        """The processors' time that the host gave to other machines, in percent."""
        after, before = psutil.cpu_times(), self._before
        stolen = getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)
        # The kernel counts guests' time in user time as well.
        return 100 * stolen / max(sum(after[:8]) - sum(before[:8]), 1e-9)

    def told(self) -> str:
        """Both in words."""
        return f"Load before: {self._load:.1f}; stolen: {self.stolen_percent():.1f} %."


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> dict[str, Any]:
    """One row of the report; `ok` is None where there is no target."""
    target, is_met = "", None
    if at_most is not None:
        target, is_met = f"<= {at_most:g}", value <= at_most
    if at_least is not None:
        target, is_met = f">= {at_least:g}", value >= at_least
    return {"name": name, "value": value, "unit": unit, "target": target, "ok": is_met}


def run_pollux(data_dir: Path, *arguments: str, **environment: str) -> Ran:
    """Runs the command on a data folder; raises `RuntimeError` with its output if it fails."""
    command = [sys.executable, "-m", "cli.main", *arguments]
    return run_measured(command, {"POLLUX_DATA_DIR": str(data_dir), **environment})


def run_measured(command: Sequence[str], environment: dict[str, str]) -> Ran:
    """Runs a command and watches the memory of its process tree."""
    started = time.monotonic()
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watch = _Watch(process.pid)
        output, _ = process.communicate()
    seconds = time.monotonic() - started
    peak = watch.stop()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output}")
    return Ran(seconds, peak, output)


def cpu_seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    """The processor time of a command and of what it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_measured(command, environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class _Watch(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._peak = 0
        self.start()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            total = 0
            try:
                for process in [self._root, *self._root.children(recursive=True)]:
                    total += process.memory_info().rss
            except psutil.Error:
                continue
            self._peak = max(self._peak, total)

    def stop(self) -> float:
        self._ended.set()
        self.join()
        return self._peak / 2**20
