"""Refuses a release that would remove most of the rows served, unless it is told to accept that.

A build whose input is missing passes its tests, since missing rows break no rule. So row counts are
compared with those served before anything is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.release.errors import ShrinkingError
from pollux.runtime.settings import PROJECT_DIR, Settings


@dataclass(frozen=True)
class Shrunken:
    """A mart that would lose more than half of its rows."""

    mart: str
    rows_before: int
    rows_after: int


def is_shrinking(before: int, after: int) -> bool:
    """Whether more than half of `before` rows would go."""
    return after * 2 < before


def find_shrunken(served: Mapping[str, int], built: Mapping[str, int]) -> list[Shrunken]:
    """The marts that would be emptied, or lose more than half of the rows that are served."""
    found = [Shrunken(name, served[name], rows) for name, rows in built.items() if name in served]
    return [one for one in found if is_shrinking(one.rows_before, one.rows_after)]


def refuse_shrinking(
    settings: Settings, domain: str, number: int, shrunken: Sequence[Shrunken]
) -> None:
    """Raises `ShrinkingError` with rows before and after, and the likely cause.

    `number` is the release that is served.
    """
    if not shrunken:
        return
    datasets = read_datasets(PROJECT_DIR).values()
    missing = [d.name for d in datasets if d.domain == domain and not landing.parts(settings, d)]
    cause = (
        f"Nothing is loaded for {', '.join(sorted(missing))}: load what is missing and build again"
        if missing
        else "Look at what was loaded last (pollux status)"
    )
    lines = [f"  {m.mart}: {m.rows_before:,} → {m.rows_after:,} rows" for m in shrunken]
    raise ShrinkingError(
        f"The release of {domain} is held back, {number} stays served: it would empty marts, or "
        "take more than half of their rows:\n" + "\n".join(lines) + f"\n{cause}. If this is right, "
        f"pollux release --domain {domain} --accept-shrinking releases it."
    )
