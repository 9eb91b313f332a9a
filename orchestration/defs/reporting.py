"""How a step of the graph reports its progress: to Dagster's log, or to a console (`cli`)."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from dagster import get_dagster_logger

from orchestration.build import BuildReport
from orchestration.chain import Step
from orchestration.release.publish import ReleaseReport


class Reporter(Protocol):
    """Receives the reports of a run."""

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Opens a task."""

    def built(self, report: BuildReport) -> None:
        """Receives the report of a build, passed or not."""

    def released(self, report: ReleaseReport) -> None:
        """Receives the report of a release."""

    def refused(self, error: Exception) -> None:
        """Receives the error that ended a step."""


class _LoggedStep:
    def __init__(self) -> None:
        self.result = ""
        self.has_failed = False

    def update(self, detail: str) -> None:
        """Nothing: Dagster shows assets as they come."""

    def count(self, detail: str, done: int, total: int) -> None:
        """Nothing: Dagster shows assets as they come."""


class LogReporter:
    """Reports to Dagster's log."""

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Logs how a task ended."""
        started = time.monotonic()
        current = _LoggedStep()
        yield current
        get_dagster_logger().info(
            "%s: %s, %.1f s", title, current.result, time.monotonic() - started
        )

    def built(self, report: BuildReport) -> None:
        """Does nothing: the assets show it."""

    def released(self, report: ReleaseReport) -> None:
        """Logs the release's notes."""
        for note in report.notes:
            get_dagster_logger().warning(note)

    def refused(self, error: Exception) -> None:
        """Does nothing: the failed step shows it."""
