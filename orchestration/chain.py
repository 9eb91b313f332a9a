"""A build from landed events to releases, a reported step at a time.

Belongs here: each step as Dagster and `pollux build` run it, with what it reports, and their order
where Dagster does not run them. Does not belong here: the work of a step (`load`, `learn`, `build`,
`release`), and what a report looks like (`cli`, `orchestration.defs.reporting`).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from orchestration.build import BuildReport, build, prepared_build
from orchestration.learn.recommend.land import learn_if_due, read_note
from orchestration.load.declarations import Dataset
from orchestration.load.empty_parts import ensure_empty_parts
from orchestration.load.event_datasets import feeding
from orchestration.load.events import land_events
from orchestration.release.errors import ReleaseError
from orchestration.release.publish import ReleaseReport
from orchestration.release.publish import release as publish
from pollux.runtime.settings import Settings


class Step(Protocol):
    """A task in progress; `result` says in a few words how it ended."""

    result: str
    has_failed: bool

    def update(self, detail: str) -> None:
        """Shows what is being done."""

    def count(self, detail: str, done: int, total: int) -> None:
        """Shows that `done` of `total` are done."""


class Console(Protocol):
    """Shows steps and notes."""

    def step(self, title: str) -> AbstractContextManager[Step]:
        """Opens a task."""

    def note(self, text: str) -> None:
        """Shows a note to the user."""


OpenStep = Callable[[str], AbstractContextManager[Step]]


@dataclass
class Outcome:
    """What was built and released, and why a release was refused."""

    build: BuildReport | None = None
    releases: list[ReleaseReport] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def run(
    settings: Settings,
    domains: Sequence[str],
    console: Console,
    *,
    release: bool,
    accept_shrinking: bool = False,
) -> Outcome:
    """Builds, tests and releases domains from what was loaded; does not touch the inbox.

    A domain whose tests fail is not released, while others are: the outcome says so. Raises the
    error that ended the build early.
    """
    domains = sorted(set(domains))
    outcome = Outcome()
    if datasets := feeding(domains):
        land_new_events(settings, datasets, console.step)
    with prepared_build(settings, domains) as ready:
        if "household" in domains:
            learn_recommendations(settings, console.step)
        with console.step("build") as step:
            report = build(settings, domains, progress=step.count, ready=ready)
            step.result = report.describe(settings)
            step.has_failed = bool(report.failed)
    outcome.build = report
    for text in report.notes:
        console.note(text)
    for domain in report.passed if release else ():
        try:
            released = release_domain(
                settings, domain, console.step, accept_shrinking=accept_shrinking
            )
        except ReleaseError as error:
            outcome.refusals.append(str(error))
            continue
        outcome.releases.append(released)
        for text in released.notes:
            console.note(text)
    return outcome


def land_new_events(
    settings: Settings, datasets: Sequence[Dataset], open_step: OpenStep
) -> dict[str, int]:
    """Lands what the event service received; returns rows landed by dataset."""
    with open_step("events") as step:
        landed = land_events(settings, datasets)
        step.result = f"{sum(landed.values()):,} new rows"
    ensure_empty_parts(settings, datasets)
    return landed


def learn_recommendations(settings: Settings, open_step: OpenStep) -> bool:
    """Learns recommendations if due; returns whether it learned."""
    with open_step("learn") as step:
        has_learned = learn_if_due(settings, step.update)
        households = read_note(settings).get("households", 0)
        step.result = (
            f"recommendations for {households:,} households"
            if has_learned
            else "recommendations are up to date"
        )
    return has_learned


def release_domain(
    settings: Settings, domain: str, open_step: OpenStep, *, accept_shrinking: bool
) -> ReleaseReport:
    """Releases a domain; raises `ReleaseError` where it is refused."""
    with open_step("release") as step:
        try:
            report = publish(
                settings, domain, progress=step.update, accept_shrinking=accept_shrinking
            )
        except ReleaseError:
            step.has_failed = True
            step.result = domain
            raise
        step.result = report.describe()
    return report
