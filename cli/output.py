"""The command's output: progress to standard error, results to standard output.

Belongs here: everything that decides what a line looks like. Does not belong here: its text.
"""

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

progress_console = Console(stderr=True, highlight=False)
result_console = Console(highlight=False)
# A log is told this often how far a step is.
LOG_SECONDS = 10


class Step:
    """A task in progress: `update` shows how far it is, `result` says how it ended."""

    def __init__(self, title: str, status: Status | None) -> None:
        self._title = title
        self._status = status
        self._started = self._said = time.monotonic()
        self.result = ""
        self.has_failed = False

    def update(self, detail: str) -> None:
        """Shows what is being done, on a terminal only."""
        if self._status is not None:
            self._status.update(f"{self._title}: {detail}")

    def read(self, *, file: str, done: int, total: int | None) -> None:
        """Shows how much of a file was read; `done` and `total` in bytes."""
        self.update(f"{file} {100 * done // total} %" if total else file)

    def share(self, detail: str, done: float) -> None:
        """Shows which share is done, 0 to 1, and the time left; now and then in a log, too."""
        now = time.monotonic()
        left = (now - self._started) * (1 - done) / max(done, 1e-9)
        text = f"{done:.0%}, {_minutes(left)} left, {detail}"
        self.update(text)
        if self._status is None and now >= self._said + LOG_SECONDS:
            self._said = now
            progress_console.print(f"  {self._title:<10} {text}", markup=False, soft_wrap=True)

    def count(self, detail: str, done: int, total: int) -> None:
        """Shows that `done` of `total` are done."""
        self.update(f"{done} of {total}, {detail}")


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Shows a task while it runs, and one line with its seconds when it has ended."""
    started = time.monotonic()
    if progress_console.is_terminal:
        with progress_console.status(title) as status:
            current = Step(title, status)
            yield current
    else:
        current = Step(title, None)
        yield current
    seconds = time.monotonic() - started
    mark = "[red]✗[/]" if current.has_failed else "[green]✓[/]"
    progress_console.print(
        f"{mark} {title:<10} {current.result}  [dim]{seconds:.1f} s[/]", soft_wrap=True
    )


@contextmanager
def busy(title: str) -> Iterator[None]:
    """Shows on a terminal that a task is in progress; prints nothing when it ends."""
    if progress_console.is_terminal:
        with progress_console.status(title):
            yield
    else:
        yield


def note(text: str) -> None:
    """Prints a note."""
    _say("[yellow]![/]", text)


def fail(text: str) -> None:
    """Prints an error."""
    _say("[red]✗[/]", text)


def _say(mark: str, text: str) -> None:
    progress_console.print(mark, end=" ")
    progress_console.print(text, markup=False, soft_wrap=True)


def print_json(content: object) -> None:
    """Prints JSON for scripts."""
    sys.stdout.write(json.dumps(content, default=str, indent=2) + "\n")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], kind: str) -> None:
    """Prints rows as `table`, `csv` or `json`."""
    printers: dict[str, Callable[[Sequence[str], Sequence[Sequence[Any]]], None]] = {
        "table": _print_table,
        "csv": _print_csv,
        "json": lambda names, found: print_json(
            [dict(zip(names, row, strict=True)) for row in found]
        ),
    }
    printers[kind](columns, rows)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        # `Text`, so that brackets are not taken for markup.
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    result_console.print(table)


def _print_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    # Data, not text for a terminal: no character may be replaced.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
