"""How far a measurement is, told while it goes on."""

from collections.abc import Callable

# What is being done, and the share of the whole that is done, 0 to 1.
Progress = Callable[[str, float], None]


def untold(_detail: str, _share: float) -> None:
    """Progress for nobody."""


def part_of(progress: Progress, start: float, end: float) -> Progress:
    """The progress of a part that takes the whole from `start` to `end`."""
    return lambda detail, share: progress(detail, start + (end - start) * share)
