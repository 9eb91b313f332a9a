"""How a step of the graph tells what it does: to Dagster's log, or to somebody at a console.

Belongs here: what both have in common. Does not belong here: the console, which is `cli`.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from dagster import get_dagster_logger

from orchestration.build import BuildReport
from orchestration.release.publish import ReleaseReport


class Step(Protocol):
    """A piece of work under way; `result` is how it ended, in a few words."""

    result: str
    has_failed: bool

    def update(self, detail: str) -> None:
        """Says what is being done."""

    def count(self, detail: str, done: int, total: int) -> None:
        """Says how many of how many are done."""


class Reporter(Protocol):
    """Who is told of a run."""

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Opens a piece of work."""

    def built(self, report: BuildReport) -> None:
        """Takes the report of a build, passed or not."""

    def released(self, report: ReleaseReport) -> None:
        """Takes the report of a release."""

    def refused(self, error: Exception) -> None:
        """Takes what ended a step."""


class _LoggedStep:
    def __init__(self) -> None:
        self.result = ""
        self.has_failed = False

    def update(self, detail: str) -> None:
        """Nothing: Dagster shows assets as they come."""

    def count(self, detail: str, done: int, total: int) -> None:
        """Nothing: Dagster shows assets as they come."""


class LogReporter:
    """Tells Dagster's log."""

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Logs how a piece of work ended."""
        started = time.monotonic()
        current = _LoggedStep()
        yield current
        get_dagster_logger().info(
            "%s: %s, %.1f s", title, current.result, time.monotonic() - started
        )

    def built(self, report: BuildReport) -> None:
        """Nothing: the assets carry it."""

    def released(self, report: ReleaseReport) -> None:
        """Logs what a person should know."""
        for note in report.notes:
            get_dagster_logger().warning(note)

    def refused(self, error: Exception) -> None:
        """Nothing: the failed step carries it."""
