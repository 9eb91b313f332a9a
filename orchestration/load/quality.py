"""What has landed of each dataset, and which rows were rejected for which reason: counts only."""

from collections import Counter
from datetime import datetime

from orchestration.load import landing
from orchestration.load.declarations import read_datasets
from orchestration.load.landing import Part
from orchestration.load.rejects import read_rejects
from pollux.quality import LoadedDataset, Rejects
from pollux.runtime.settings import PROJECT_DIR, Settings

# Broken files can have a reason for every line: the most frequent are told, the others in one.
MOST_REASONS = 20
OTHERS = "other reasons"


def loaded_datasets(settings: Settings, domain: str) -> tuple[LoadedDataset, ...]:
    """The datasets of a domain that have landed, by name; call it with the landing zone locked."""
    datasets = [one for one in read_datasets(PROJECT_DIR).values() if one.domain == domain]
    landed = {one.name: landing.parts(settings, one) for one in datasets}
    return tuple(_describe(settings, name, landed[name]) for name in sorted(landed) if landed[name])


def _describe(settings: Settings, name: str, parts: list[Part]) -> LoadedDataset:
    return LoadedDataset(
        dataset=name,
        is_sample=all(part.sample for part in parts),
        files=len(parts),
        rows_read=sum(part.rows_read for part in parts),
        rows_landed=sum(part.rows_landed for part in parts),
        rows_rejected=sum(part.rows_rejected for part in parts),
        loaded_at=max(datetime.fromisoformat(part.loaded_at) for part in parts),
        rejects=_rejects(settings, parts),
    )


def _rejects(settings: Settings, parts: list[Part]) -> tuple[Rejects, ...]:
    """Rejected rows by column and reason, the most frequent first."""
    counted: Counter[tuple[str, str]] = Counter()
    for part in parts:
        path = landing.rejects_path(settings, part.domain, part.dataset, part.name)
        if part.rows_rejected:
            counted.update((row["column"], row["reason"]) for row in read_rejects(path))
    told = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    rejects = [
        Rejects(column=column, reason=reason, rows=rows)
        for (column, reason), rows in told[:MOST_REASONS]
    ]
    if others := sum(rows for _, rows in told[MOST_REASONS:]):
        rejects.append(Rejects(column="", reason=OTHERS, rows=others))
    return tuple(rejects)
